"""A sink that only counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.frame import Frame

if TYPE_CHECKING:
    import av

    from pipeline.media import SourceInfo


class NullSink:
    """Takes frames and drops them: for benchmarks and dry runs.

    Args:
        path: Ignored; sinks are opened alike.
        info: Ignored.
    """

    frames: int
    packets: int
    """Packets of other streams, the tail included."""
    finished: bool

    def __init__(self, path: str = "", info: SourceInfo | None = None) -> None:
        del path, info
        self.frames = 0
        self.packets = 0
        self.finished = False

    def write(self, frame: Frame) -> None:
        """Count one frame and its packets."""
        self.frames += 1
        self.packets += len(frame.packets)

    def finish(self, tail: tuple[av.Packet[Any], ...]) -> None:
        """Count the last packets."""
        self.packets += len(tail)
        self.finished = True

    def abort(self) -> None:
        """Do nothing: there is nothing to close."""
