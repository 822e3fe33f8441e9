"""One picture here, the next one there: an engine on each of several devices.

Requests go round, each device getting as many in a row as it has room for, and their order is kept
because results are asked for in order. Nothing runs in a thread of its own: devices compute side by
side as far as their back end's `submit` returns before its work is done. Tested with processors
for devices; not run on several GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engines.engine import Moment, Planes, check_pictures
from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.engine import (
        Engine,
        EngineInfo,
        Flicker,
        PictureFormat,
        Request,
        Session,
        Smoothing,
    )


@dataclass(frozen=True)
class Device:
    """An engine and what its device was called by the user."""

    name: str
    engine: Engine


class SeveralEngine:
    """Opens a session on each device and sends requests round.

    Args:
        devices: One or more, with one model; their engines belong to this one from now on.
    """

    info: EngineInfo
    """Of all: devices, and whatever else differs, one after the other."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = list(devices)
        self.info = joined_info([device.engine.info for device in devices])

    @property
    def multiple(self) -> int:
        """See `Engine.multiple`."""
        return self._devices[0].engine.multiple

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> Session:
        """See `Engine.open`; pictures are smoothed on the host, in their order.

        Raises:
            EngineError: One of the devices cannot; the message names it.
        """
        with ExitStack() as undo:
            sessions = []
            for device in self._devices:
                with naming(device.name):
                    session = device.engine.open(picture_format, batch=batch)
                undo.callback(session.close)
                sessions.append((device.name, session))
            self.info = joined_info([device.engine.info for device in self._devices])
            together: Session = RoundRobinSession(sessions)
            if smoothing is not None:
                from engines.hosted import HostedSession

                together = HostedSession(together, smoothing)
            undo.pop_all()  # from here on they are closed together
            return together

    def close(self) -> None:
        """Close all engines."""
        with ExitStack() as closing:
            for device in self._devices:
                closing.callback(device.engine.close)


class RoundRobinSession:
    """Sessions of one format on several devices, as one; not smoothed.

    Args:
        sessions: With the names of their devices; closed with this one.
    """

    def __init__(self, sessions: Sequence[tuple[str, Session]]) -> None:
        self._sessions = list(sessions)
        self.format = sessions[0][1].format
        self.batch = min(session.batch for _, session in sessions)
        depths = [session.depth for _, session in sessions]
        self.depth = sum(depths)
        # Among any `depth` requests in a row each device has as many as it takes in flight.
        self._order = [
            device
            for round_ in range(max(depths))
            for device, depth in enumerate(depths)
            if round_ < depth
        ]
        self._next = 0

    @property
    def flicker(self) -> Flicker | None:
        """Nothing is smoothed."""
        return None

    def submit(
        self,
        pictures: Sequence[Planes],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> NamedRequest:
        """See `Session.submit`."""
        check_pictures(pictures, self.format, self.batch)
        name, session = self._sessions[self._order[self._next]]
        with naming(name):
            request = session.submit(pictures, strength=strength)
        self._next = (self._next + 1) % self.depth
        return NamedRequest(name, request)

    def close(self) -> None:
        """Close all sessions."""
        with ExitStack() as closing:
            for _, session in self._sessions:
                closing.callback(session.close)


class NamedRequest:
    """A request whose failure names the device."""

    def __init__(self, device: str, request: Request) -> None:
        self._device, self._request = device, request

    def result(self) -> list[Planes]:
        """See `Request.result`."""
        with naming(self._device):
            return self._request.result()


@contextmanager
def naming(device: str) -> Iterator[None]:
    """Put a device's name before the message of an `EngineError`."""
    try:
        yield
    except EngineError as error:
        raise EngineError(f"device {device}: {error}") from error


def joined_info(infos: Sequence[EngineInfo]) -> EngineInfo:
    """Return what runs on several devices: what they have in common is said once."""

    def joined(values: Sequence[str]) -> str:
        return values[0] if len(set(values)) == 1 else ", ".join(values)

    return replace(
        infos[0],
        device=", ".join(info.device for info in infos),
        precision=joined([info.precision for info in infos]),
        version=joined([info.version for info in infos]),
        fit=joined([info.fit for info in infos]),
    )
