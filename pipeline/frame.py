"""The one value that travels through a pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from engines.engine import DevicePicture, PictureFormat, Planes

if TYPE_CHECKING:
    import av


@dataclass(frozen=True, kw_only=True)
class ColourTags:
    """FFmpeg's colour integers, copied and never guessed; 2 (or 0 for range) is "unspecified"."""

    space: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture with its time, its colours and the packets that precede it."""

    planes: Planes
    """Views of the decoder's own memory where possible; never written to. None, `()`, while the
    picture is on a device."""
    format: PictureFormat
    pixel_format: str
    """FFmpeg's name, planar, e.g. `yuv420p10le` or `gbrp`; decides what the encoder is given."""
    pts: int
    """Presentation time in `time_base` units."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    duration: int = 0
    """In `time_base` units; 0 where unknown."""
    colour: ColourTags = field(default_factory=ColourTags)
    alpha: Planes = ()
    """The untouched alpha plane of formats that have one."""
    device: DevicePicture | None = None
    """The picture on its decoder's device, until it has been cleaned."""
    before: Planes = ()
    """The planes as they were before cleaning, kept only where both are shown."""
    discontinuity: bool = False
    """Temporal state must be reset: the first frame, a gap, a reconnect, a change of size."""
    packets: tuple[av.Packet[Any], ...] = ()
    """Untouched audio, subtitle and data packets to be written before this frame."""
    left_source_s: float | None = field(default=None, compare=False)
    """When the source let go of it, on `time.perf_counter`; set by the runner, for latency."""

    def __post_init__(self) -> None:
        if self.device is not None and not self.planes:
            return
        found = tuple(plane.shape for plane in self.planes)
        if found != self.format.plane_shapes:
            raise ValueError(
                f"planes of {self.format} must be {self.format.plane_shapes}, {found=}"
            )

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def on_host(self) -> Frame:
        """Return the frame with planes: itself, or a copy of what is on the device."""
        if self.device is None:
            return self
        return replace(self, planes=self.device.to_host(), device=None)

    def __repr__(self) -> str:
        return (
            f"Frame({self.pixel_format} {self.format.width}x{self.format.height},"
            f" pts={self.pts}, time_base={self.time_base})"
        )
