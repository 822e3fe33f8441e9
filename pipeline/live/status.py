"""What one camera's chain is doing, as a page, a metric or a log line says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SourceState = Literal["connecting", "online", "stalled", "offline"]
"""`stalled`: connected, but no picture came for a while. `offline`: waiting for the next try."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """One camera, as it is now. Counts are since the start, rates over the last second or two."""

    camera: str
    """Name, without anything secret."""
    source: str
    """Address without its user and password."""
    state: SourceState
    state_s: float
    """Seconds since that state began."""
    error: str = ""
    """Why the source is not online, in words; without secrets."""
    uptime_s: float = 0.0
    frames_in: int = 0
    frames_out: int = 0
    dropped: int = 0
    """Pictures left out because the chain could not keep up."""
    repeated: int = 0
    """Pictures shown again because no new one came."""
    reconnects: int = 0
    fps_in: float = 0.0
    fps_out: float = 0.0
    delay_ms: float | None = None
    """Median from arrival to the encoded picture; None before the first."""
    delay_p99_ms: float | None = None
    queues: dict[str, int] = field(default_factory=dict)
    """Pictures waiting, by the stage that they wait for."""
    step: str = "full"
    """What is left out to keep up: `full` is nothing; see `pipeline.live.ladder`."""
    steps: int = 0
    """How often that changed."""
    moire_before: float | None = None
    """Moiré energy of a recent picture, in 8-bit levels (`engines.evaluate.metrics`)."""
    moire_after: float | None = None
    viewers: dict[str, int] = field(default_factory=dict)
    """Those who are connected, by outlet (`rtsp`, `web`)."""
    encoder: str = ""
    """FFmpeg's name of the encoder that really opened."""
    strength: float = 1.0
    smoothing: str = "auto"
    bypass: bool = False
