"""Does a finished file say what was written to it? Reads packets only and decodes nothing."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.error import FFmpegError

from pipeline.errors import SinkError
from pipeline.media import as_fraction
from pipeline.pyav import open_input


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a finished file holds, against what was written to it."""

    frames_written: int
    frames_found: int
    start_shift_s: float
    """By how much the container moved everything, e.g. MPEG-TS by 1.4 s; sound moves with it."""
    pts_change_s: float
    """Largest change of a frame's time, apart from the common shift."""
    av_drift_s: float
    """Largest change of another stream's time against the picture's, at either of its ends."""


@dataclass
class StreamLog:
    """What was written to one stream."""

    times: array[float] = field(default_factory=lambda: array("d"))
    """Presentation times in seconds: of every frame, or of a copied stream's two ends."""
    packets: int = 0

    def note_ends(self, time: float) -> None:
        """Widen the ends of a copied stream."""
        self.packets += 1
        if not self.times:
            self.times.extend((time, time))
        self.times[0] = min(self.times[0], time)
        self.times[1] = max(self.times[1], time)

    def note_frame(self, time: float) -> None:
        """Add a frame."""
        self.packets += 1
        self.times.append(time)


def verify(path: Path, written: list[StreamLog], video: int) -> Verification:
    """Demux `path` and compare it with what was written.

    Args:
        path: A finished file.
        written: What went into each of its streams, in their order.
        video: Which of them is the cleaned video.

    Raises:
        SinkError: The file cannot be read.
    """
    found = _read(path, len(written), video)
    wanted = sorted(written[video].times)
    times = sorted(found[video].times)
    shift = times[0] - wanted[0] if times and wanted else 0.0
    changes = [abs(a - b - shift) for a, b in zip(times, wanted, strict=False)]
    drifts = [
        abs(after - before - shift)
        for index, (log, back) in enumerate(zip(written, found, strict=True))
        if index != video
        for before, after in zip(log.times, back.times, strict=False)
    ]
    return Verification(
        frames_written=len(wanted),
        frames_found=len(times),
        start_shift_s=shift,
        pts_change_s=max(changes, default=0.0),
        av_drift_s=max(drifts, default=0.0),
    )


def _read(path: Path, count: int, video: int) -> list[StreamLog]:
    logs = [StreamLog() for _ in range(count)]
    try:
        with open_input(path) as container:
            for packet in container.demux():
                ticks = packet.pts if packet.pts is not None else packet.dts
                unit = as_fraction(packet.time_base) or Fraction(1)
                if ticks is None or packet.stream_index >= count or not packet.size:
                    continue
                log = logs[packet.stream_index]
                note = log.note_frame if packet.stream_index == video else log.note_ends
                note(float(ticks * unit))
    except FFmpegError as error:
        raise SinkError(f"{path}: cannot be read back ({error.strerror})") from error
    return logs
