"""What a live source is, and how it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipeline.frame import Frame

if TYPE_CHECKING:
    from pipeline.media import SourceInfo

POLL_S = 0.25
"""How often a wait looks whether it should end."""

MOST_PACKETS = 256
"""Packets of sound that ride along with one frame; older ones are left out."""

Side = Annotated[int, Field(ge=16, le=16384)]


class LiveOptions(BaseModel):
    """How a live source is read. What a kind of source has no use for is ignored by it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries its packets: `tcp` loses none, `udp` is what some cameras insist on."""
    open_timeout_s: float = Field(default=5.0, gt=0, le=60)
    """How long a host may take to answer."""
    stall_s: float = Field(default=4.0, ge=0.5, le=600)
    """A source without a picture for so long has failed."""
    sound: bool = True
    """Packets of the first audio stream ride along."""
    threads: int = Field(default=0, ge=0, le=64)
    """Threads that decode slices of one picture; 0 for as many as there are cores."""
    loop: bool = False
    """A file begins again at its end, with timestamps that go on rising."""
    size: tuple[Side, Side] | None = None
    """Width and height to ask a camera or a screen for; None for its own."""
    rate: float | None = Field(default=None, gt=0, le=1000)
    """Pictures a second to ask a camera or a screen for."""
    pixel_format: str | None = Field(default=None, pattern=r"^[a-z0-9_]+$")
    """What to ask a camera for, by FFmpeg's name: `mjpeg`, `yuyv422`, `nv12`, `h264`."""


class LiveSource(Protocol):
    """One connection to a live input, with its first picture already there."""

    @property
    def info(self) -> SourceInfo:
        """What the source is, by its first picture; `url` holds nothing secret."""
        ...

    @property
    def final(self) -> bool:
        """Its end is an end (a file played once), and not a connection that was lost."""
        ...

    @property
    def damaged(self) -> int:
        """Pictures so far that could not be decoded, or only in part."""
        ...

    @property
    def derived(self) -> int:
        """Pictures so far that came without a timestamp and were given one."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Yield frames as they arrive; ends when the peer closes or reading is stopped.

        Timestamps are the source's own, wherever they jump. `left_source_s` is the moment of
        arrival.

        Raises:
            SourceError: Reading failed, or no picture came for `LiveOptions.stall_s`.
        """
        ...

    def close(self) -> None:
        """Release the input; twice is once, and never during a read."""
        ...


class Interrupted(Exception):  # noqa: N818 - nothing is wrong: somebody asked for it
    """Reading was stopped from outside; never leaves a source."""
