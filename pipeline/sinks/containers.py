"""Output containers: which one an extension means, and what of the input it can hold."""

from __future__ import annotations

import io
import logging
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av.error import FFmpegError
from av.stream import Disposition

from pipeline.errors import SinkError
from pipeline.media import SourceInfo, as_fraction
from pipeline.pyav import open_output

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.stream import Stream

log = logging.getLogger(__name__)

FORMATS: dict[str, str] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
}
"""FFmpeg's muxer by extension."""

_COMMON_SAMPLE_RATE = 48_000
_LARGEST_TIMESCALE = 10_000_000

# What describes the old container or is written anew; copying it would be a lie.
_OWN_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "software"}
)
# Keys that FFmpeg writes into an mp4 as iTunes does, which is where players look for them.
_MP4_TAGS = frozenset(
    {"title", "artist", "album_artist", "composer", "album", "date", "comment", "genre"}
    | {"copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id"}
    | {"network", "keywords", "track", "disc", "media_type", "hd_video", "gapless_playback"}
    | {"compilation", "creation_time", "timecode", "language", "rating"}
)


def format_of(path: Path) -> str:
    """Return FFmpeg's name of the container that a path's extension means.

    Raises:
        SinkError: The extension is none that video is written to.
    """
    found = FORMATS.get(path.suffix.lower())
    if path.suffix.lower() == ".avi":
        raise SinkError(
            f"{path}: AVI stores no timestamps, so sound could shift against the picture;"
            " write to .mp4 or .mkv"
        )
    if found is None:
        raise SinkError(
            f"{path}: cannot tell the container from {path.suffix or 'no extension'!r};"
            f" use one of {', '.join(FORMATS)}"
        )
    return found


def container_options(name: str, info: SourceInfo) -> dict[str, str]:
    """Return the muxer's options."""
    if name not in ("mp4", "mov"):
        return {}
    flags = "+faststart"
    if set(info.metadata) - _OWN_TAGS - _MP4_TAGS:
        # Phones' own keys (place, make, model) are lost without it.
        flags += "+use_metadata_tags"
    # Where a stream begins is rounded to the movie's own unit, by default a millisecond.
    unit = lcm(info.time_base.denominator, _COMMON_SAMPLE_RATE)
    scale = unit if unit <= _LARGEST_TIMESCALE else info.time_base.denominator
    return {"movflags": flags, "movie_timescale": str(min(scale, _LARGEST_TIMESCALE))}


def kept_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that are still true of a copy."""
    return {key: value for key, value in tags.items() if key.lower() not in _OWN_TAGS}


def holdable(info: SourceInfo, container: str, *, drop: bool) -> tuple[Stream, ...]:
    """Return the input's other streams that the output container can hold, attachments last.

    Each is tried by writing a header with it alone, since FFmpeg's own tables say yes to more
    than its muxers then take. Data streams that cannot be kept are dropped with a warning: phones
    write several that no player reads.

    Args:
        info: The input.
        container: FFmpeg's name of the output format.
        drop: Leave out with a warning what cannot be held, instead of refusing.

    Raises:
        SinkError: A sound, subtitle or picture stream or an attachment cannot be held.
    """
    kept = []
    for stream in (*info.streams, *info.attachments):
        reason = _refusal(stream, container)
        if reason is None:
            kept.append(stream)
            continue
        what = f"{stream.type} stream #{stream.index} ({_codec_name(stream)})"
        if not (drop or _is_minor(stream)):
            raise SinkError(
                f"{info.url}: {what} cannot be kept in {container} ({reason});"
                " write to .mkv, or leave it out with --drop-streams"
            )
        log.warning("%s: %s is left out, %s cannot hold it", info.url, what, container)
    return tuple(kept)


def _is_minor(stream: Stream) -> bool:
    """Whether a copy without this stream is still what its user wants."""
    is_cover = bool(stream.disposition & Disposition.attached_pic)
    return stream.type in ("data", "unknown") or is_cover


def _refusal(stream: Stream, container: str) -> str | None:
    """Return why a container cannot hold a stream, or None if it can."""
    if container == "webm" and stream.type == "attachment":
        return "WebM has no attachments"
    scratch = open_output(io.BytesIO(), container)
    try:
        copy_stream(scratch, stream)
        if stream.type == "attachment" and container != "matroska":
            return "it has no attachments"
        scratch.start_encoding()
    except (FFmpegError, ValueError) as error:
        return last_words(error)
    finally:
        _close_quietly(scratch)
    return None


def last_words(error: Exception) -> str:
    """Return what FFmpeg logged when it failed, or else the error's own text."""
    if isinstance(error, FFmpegError):
        logged = error.log[1] if error.log else None
        return logged[2].strip() if logged else (error.strerror or str(error))
    return str(error)


def _close_quietly(scratch: OutputContainer) -> None:
    try:
        scratch.close()
    except (FFmpegError, ValueError):
        log.debug("closing a scratch container failed", exc_info=True)


def copy_stream(container: OutputContainer, template: Stream) -> Stream:
    """Add a stream that takes a template's packets as they are; its tags and flags come too.

    Raises:
        ValueError: The container does not know the codec.
    """
    if template.type == "attachment":
        held: Any = template
        stream: Stream = container.add_attachment(
            held.name or f"attachment-{template.index}",
            held.mimetype or "application/octet-stream",
            held.data,
        )
    else:
        stream = container.add_stream_from_template(template, opaque=True)
    stream.metadata.update(kept_tags(template.metadata))
    stream.disposition = template.disposition
    unit = as_fraction(template.time_base)
    if unit:
        stream.time_base = unit
    return stream


def _codec_name(stream: Stream) -> str:
    context: Any = stream.codec_context
    return context.name if context is not None else (getattr(stream, "name", None) or "unknown")
