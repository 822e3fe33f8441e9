"""Smoothing around any session: in memory, over whole pictures, in their order.

A back end smooths where its pictures are, which is faster. But motion is that of a whole picture,
and the past is that of the picture before: what computes tiles, or every second picture, has
neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engines.backends.padding import empty_planes, pad_into, padded_shapes
from engines.engine import Moment, Planes, Smoothing, check_moments
from engines.smooth.host import HostBlender
from engines.smooth.smoother import Smoother
from engines.smooth.trust import BLOCK

if TYPE_CHECKING:
    from engines.engine import Flicker, Plane, Request, Session


class HostedSession:
    """Smooths what another session cleans.

    Args:
        inner: A session without smoothing; closed with this one.
        smoothing: Time constants, and whether bands go.
    """

    def __init__(self, inner: Session, smoothing: Smoothing) -> None:
        self.format, self.batch, self.depth = inner.format, inner.batch, inner.depth
        self._inner = inner
        self._smoothing = smoothing
        self._shapes = padded_shapes(inner.format, BLOCK)
        blender = HostBlender(inner.format, self._shapes)
        self._smoother: Smoother[Planes] = Smoother(inner.format, smoothing, blender)

    @property
    def flicker(self) -> Flicker | None:
        """See `Session.flicker`."""
        return self._smoother.flicker

    def submit(
        self,
        pictures: Sequence[Planes],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> HostedRequest:
        """See `Session.submit`."""
        check_moments(pictures, moments, self._smoothing)
        return HostedRequest(self, self._inner.submit(pictures, strength=strength), moments)

    def smooth(self, planes: Planes, moment: Moment) -> Planes:
        """Return the next cleaned picture smoothed."""
        padded = tuple(map(self._padded, planes, self._shapes))
        smooth = zip(self._smoother.smooth(padded, moment), self.format.plane_shapes, strict=True)
        return tuple(plane[:rows, :columns] for plane, (rows, columns) in smooth)

    def _padded(self, plane: Plane, shape: tuple[int, int]) -> Plane:
        """Return a plane as the blender takes it: whole blocks, contiguous."""
        if plane.shape == shape and plane.flags.c_contiguous:
            return plane
        (target,) = empty_planes(self.format, [shape])
        pad_into(plane, target)
        return target

    def close(self) -> None:
        """See `Session.close`."""
        self._inner.close()


class HostedRequest:
    """Pictures that are smoothed once somebody asks for them."""

    def __init__(self, session: HostedSession, request: Request, moments: Sequence[Moment]) -> None:
        self._session, self._request, self._moments = session, request, moments
        self._pictures: list[Planes] | None = None

    def result(self) -> list[Planes]:
        """See `Request.result`."""
        if self._pictures is None:
            cleaned = zip(self._request.result(), self._moments, strict=True)
            self._pictures = [self._session.smooth(planes, moment) for planes, moment in cleaned]
        return self._pictures
