"""How a publisher talks to the process that publishes for it."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import BinaryIO, Literal

from pipeline.live.access import AccessUnit, AudioTrack, VideoTrack

Kind = Literal["open", "key", "picture", "sound"]

_KINDS: tuple[Kind, ...] = ("open", "key", "picture", "sound")
_HEAD = struct.Struct("!BqI")


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What is needed to open a connection."""

    url: str
    format: str
    options: dict[str, str]
    video: VideoTrack
    audio: AudioTrack | None
    """With the decoder's configuration."""
    connect_s: float
    """Most seconds that may take."""
    stall_s: float
    """Most seconds that handing over one unit may take later."""
    key: bytes
    """A key picture that says what the stream is like; it is not sent."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that was said."""

    kind: Kind
    pts: int
    body: bytes


def write_unit(pipe: BinaryIO, unit: AccessUnit) -> None:
    """Send a unit."""
    kind: Kind = "sound" if unit.medium == "audio" else "key" if unit.is_key else "picture"
    _write(pipe, kind, unit.pts, unit.data)


def write_opening(pipe: BinaryIO, opening: Opening) -> None:
    """Send what is needed to open a connection, secrets included."""
    values = asdict(replace(opening, key=b""))
    values["key"] = base64.b64encode(opening.key).decode()
    values["video"]["frame_rate"] = str(opening.video.frame_rate)
    if opening.audio is not None:
        values["audio"]["extradata"] = opening.audio.extradata.hex()
    _write(pipe, "open", 0, json.dumps(values).encode())


def read_opening(body: bytes) -> Opening:
    """Return what `write_opening` sent."""
    values = json.loads(body)
    values["key"] = base64.b64decode(values["key"])
    video, audio = values["video"], values["audio"]
    values["video"] = VideoTrack(**{**video, "frame_rate": Fraction(video["frame_rate"])})
    if audio is not None:
        values["audio"] = AudioTrack(**{**audio, "extradata": bytes.fromhex(audio["extradata"])})
    return Opening(**values)


def read_message(pipe: BinaryIO) -> Message | None:
    """Wait for the next message; None at the end of the pipe."""
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, pts, size = _HEAD.unpack(head)
    body = pipe.read(size)
    return Message(_KINDS[kind], pts, body) if len(body) == size else None


def _write(pipe: BinaryIO, kind: Kind, pts: int, body: bytes) -> None:
    pipe.write(_HEAD.pack(_KINDS.index(kind), pts, len(body)))
    pipe.write(body)
    pipe.flush()
