"""A video file: the cleaned picture encoded anew, everything else copied as it was."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av.stream import Disposition

from pipeline.errors import SinkError
from pipeline.frame import Frame
from pipeline.media import SourceInfo
from pipeline.pyav import open_output
from pipeline.sinks import containers
from pipeline.sinks.codecs import tag
from pipeline.sinks.copying import Copier
from pipeline.sinks.hardware import choose_encoder
from pipeline.sinks.picture import Packer
from pipeline.sinks.scheduling import scheduled_as_before
from pipeline.sinks.target import Target
from pipeline.sinks.verify import StreamLog, Verification, verify

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    Packet = av.Packet[Any]

log = logging.getLogger(__name__)

_DEFAULT_RATE = Fraction(25)
_UNORDERED = 2
"""So few frames cannot be reordered, and x265 gives two of them random decoding times."""


class FileSink:
    """Encodes frames into PATH.part and renames it to PATH when complete.

    Other streams, attachments, chapters, tags and flags of the input are copied. Timestamps are
    kept; a video that begins before zero is moved to zero together with everything else. What
    stood at PATH before is not touched until the new file is complete.

    Args:
        path: The file to write; its extension chooses the container.
        info: The source, still open: its streams are templates here.
        codec: One of `CODECS`.
        crf: The encoder's constant quality, or None for the codec's default.
        encoder_preset: The software encoder's speed, or None for the codec's default.
        hardware: `off` for the software encoder; `auto` for the first hardware encoder that really
            encodes such pictures, or else software; a name, `nvenc`, for that one.
        threads: Encoder threads, 0 for as many as the encoder likes.
        overwrite: Replace an existing file, at the very end.
        drop_streams: Leave out, with a warning, streams that the container cannot hold.

    Raises:
        SinkError: The file exists, cannot be created, the encoder is missing or refuses the
            picture, or the container cannot hold one of the input's streams.
        ConfigError: The codec is unknown or lacks a setting that was given.
    """

    def __init__(
        self,
        path: str | Path,
        info: SourceInfo,
        *,
        codec: str = "h264",
        crf: int | None = None,
        encoder_preset: str | None = None,
        hardware: str = "off",
        threads: int = 0,
        overwrite: bool = False,
        drop_streams: bool = False,
    ) -> None:
        self._target = Target(path, overwrite=overwrite)
        self._info = info
        self._format = containers.format_of(self._target.path)
        chosen = choose_encoder(codec, info, hardware=hardware, crf=crf, preset=encoder_preset)
        self.encoding = chosen.encoding
        self.encoder = chosen.codec.encoder
        """FFmpeg's name for it."""
        if self.encoding.note:
            log.info("%s: %s", self._target.path, self.encoding.note)
        self._options = chosen.options
        kept = containers.holdable(info, self._format, drop=drop_streams)
        self._shift_s: Fraction | None = None
        self._last: int | None = None
        with self._target.creating(f"--codec {codec}"):
            self._container = self._open()
            self._add_streams(chosen.codec.encoder, kept, threads)
            with scheduled_as_before():
                self._container.start_encoding()
        colour, alpha = self.encoding.colour, self.encoding.alpha
        self._packer = Packer(self.encoding.pixel_format, colour, alpha=alpha)

    @property
    def path(self) -> Path:
        """The final name."""
        return self._target.path

    def write(self, frame: Frame) -> None:
        """Encode one frame and copy the packets before it.

        Raises:
            SinkError: Size or format changed, or the file cannot be written.
        """
        self._check(frame)
        if self._shift_s is None:
            self._begin(frame)
        with self._target.writing():
            self._copier.copy(frame.packets)
            picture = self._packer.picture(frame)
            pts = self._ticks(frame)
            picture.pts = pts
            self._log.note_frame(float(pts * frame.time_base))
            self._container.mux(self._video.encode(picture))

    def finish(self, tail: tuple[Packet, ...]) -> None:
        """Write what is left, close the file and give it its final name.

        Raises:
            SinkError: There was no frame, or the file cannot be completed.
        """
        if self._last is None:
            raise SinkError(f"{self.path}: no frame came; there is nothing to write")
        with self._target.writing():
            self._copier.copy(tail)
            packets = self._video.encode(None)
            if self._log.packets <= _UNORDERED:
                for packet in packets:
                    packet.dts = packet.pts
            self._container.mux(packets)
            self._container.close()
        self._target.complete()

    def abort(self) -> None:
        """Close the file and leave it as PATH.part; does nothing after `finish`."""
        if not self._target.completed:
            self._target.close_quietly(self._container)

    def verify(self) -> Verification:
        """Read the finished file's packets and compare them with what was written.

        Raises:
            SinkError: The file cannot be read.
        """
        return verify(self.path, self._logs, self._position)

    def _open(self) -> OutputContainer:
        options = containers.container_options(self._format, self._info)
        return open_output(self._target.part, self._format, options)

    def _add_streams(self, encoder: str, kept: tuple[Stream, ...], threads: int) -> None:
        """Declare all streams in the input's order, and everything else a header holds."""
        info = self._info
        before = {stream.index for stream in info.streams[: info.video_position]}
        copies: dict[int, Stream] = {}
        for template in (one for one in kept if one.index in before):
            copies[template.index] = containers.copy_stream(self._container, template)
        self._video = self._add_video(encoder, threads)
        for template in (one for one in kept if one.index not in before):
            copies[template.index] = containers.copy_stream(self._container, template)
        self._container.metadata.update(containers.kept_tags(info.metadata))
        self._container.set_chapters(list(info.chapters))
        self._logs = [StreamLog() for _ in self._container.streams]
        # Kept for `verify`: streams of a closed container do not tell.
        self._position = self._video.index
        self._log = self._logs[self._position]
        self._copier = Copier(self._container, copies, self._logs)

    def _add_video(self, encoder: str, threads: int) -> VideoStream:
        info, rate = self._info, self._info.frame_rate or _DEFAULT_RATE
        # The stubs know a few codec names only.
        container: Any = self._container
        stream: VideoStream = container.add_stream(encoder, rate, options=self._options)
        context = stream.codec_context
        tag(context, self.encoding, info)
        context.time_base = stream.time_base = info.time_base
        # PyAV's default, slices, makes x264 cut every picture into slices: worse and slower.
        context.thread_type = "AUTO"
        context.thread_count = threads
        stream.metadata.update(containers.kept_tags(info.video_metadata))
        stream.disposition = Disposition(info.video_disposition)
        if info.display_matrix is not None:
            stream.set_display_matrix(info.display_matrix)
        return stream

    def _check(self, frame: Frame) -> None:
        if frame.time_base != self._info.time_base:
            raise ValueError(f"{frame.time_base=} must be the source's, {self._info.time_base}")
        if frame.format != self._info.picture_format:
            now, then = frame.format, self._info.picture_format
            raise SinkError(
                f"{self.path}: the picture changes from {then.width}x{then.height} {then.layout}"
                f" {then.bits} bit to {now.width}x{now.height} {now.layout} {now.bits} bit at"
                f" {frame.time_s:.3f} s, which one file cannot hold; cut there with --end and"
                " --start"
            )

    def _begin(self, frame: Frame) -> None:
        """Decide by how much everything moves: players skip what lies before zero."""
        self._shift_s = max(Fraction(0), -frame.pts * frame.time_base)
        self._copier.shift_s = self._shift_s

    def _ticks(self, frame: Frame) -> int:
        """Return the frame's pts in the output, which must be later than the one before."""
        shift_s = self._shift_s or Fraction(0)
        ticks = frame.pts + round(shift_s / frame.time_base)
        if self._last is not None and ticks <= self._last:
            raise SinkError(
                f"{self.path}: a frame at {frame.time_s:.4f} s comes after one that is shown"
                " later; frames must come in the order of their times"
            )
        self._last = ticks
        return ticks
