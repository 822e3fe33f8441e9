"""One stream of frames into several sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import DemoireError
from pipeline.frame import Frame

if TYPE_CHECKING:
    import av

    from pipeline.runner import Sink


class TeeSink:
    """Gives every frame to all of its sinks, in their order.

    The first one that fails ends the run for all; those already finished stay finished.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        if not sinks:
            raise ValueError("a tee needs at least one sink")
        self._sinks = tuple(sinks)

    def write(self, frame: Frame) -> None:
        """Pass one frame on."""
        for sink in self._sinks:
            sink.write(frame)

    def finish(self, tail: tuple[av.Packet[Any], ...]) -> None:
        """Finish all."""
        for sink in self._sinks:
            sink.finish(tail)

    def abort(self) -> None:
        """Abort all, whatever one of them says; its error comes last."""
        failed: DemoireError | None = None
        for sink in self._sinks:
            try:
                sink.abort()
            except DemoireError as error:
                failed = error
        if failed is not None:
            raise failed
