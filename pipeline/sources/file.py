"""A video file as frames: every frame once, with its own time, and all else handed on untouched."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from av.error import FFmpegError

from pipeline.errors import SourceError
from pipeline.frame import Frame
from pipeline.media import SourceInfo
from pipeline.pyav import open_input
from pipeline.sources import probe
from pipeline.sources.deinterlace import deinterlaced
from pipeline.sources.hardware import Decode, GpuDecoder, GpuRefusalError, heard
from pipeline.sources.picture import Unpacker
from pipeline.sources.reader import Reader
from pipeline.sources.span import Clock, Span

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.frame import VideoFrame

    Packet = av.Packet[Any]

log = logging.getLogger(__name__)

Deinterlace = Literal["refuse", "yadif", "bwdif"]

_GAP_S = 1
"""A hole of this many seconds between two frames is a discontinuity, and worth a warning at the
end of a file."""


class FileSource:
    """A video file. Frames come in presentation order, as views of the decoder's memory.

    Timestamps are the file's own. With `start_s` the first frame kept gets time zero and all other
    streams move with it, so sound keeps its offset. Packets of other streams travel with the
    frame that follows them; `tail()` has those after the last frame.

    Args:
        path: The file.
        start_s: Leave out frames before this many seconds on a player's clock.
        end_s: Leave out frames at or after this many seconds on a player's clock.
        strict: Stop at the first frame that fails to decode, instead of counting it.
        deinterlace: What to do with interlaced video: refuse it, or the FFmpeg filter to use, one
            frame out for each frame in.
        threads: Decoder threads; 0 for as many as there are cores.
        decode: Who decodes; a GPU's pictures stay on it, see `Frame.device`. `auto` and `cuda` try
            it with the first picture.
        cuda_device: The GPU's number.

    Raises:
        SourceError: The file cannot be opened, holds no video, its video is interlaced and
            `deinterlace` is `refuse`, or the GPU does not decode it and `decode` is `cuda`.
        ConfigError: `start_s` and `end_s` leave nothing.
    """

    info: SourceInfo

    def __init__(
        self,
        path: str | Path,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        strict: bool = False,
        deinterlace: Deinterlace = "refuse",
        threads: int = 0,
        decode: Decode = "cpu",
        cuda_device: int = 0,
    ) -> None:
        self._url = str(path)
        self._strict = strict
        self._range_s = start_s, end_s
        self._deinterlace = deinterlace
        self._threads = threads
        self._unpacker = Unpacker()
        self._size: tuple[int, int] | None = None
        self._gpu: GpuDecoder | None = None
        self._has_left_gpu = False
        self._frames: Iterator[Frame] = iter(())
        self._container = open_container(Path(path))
        try:
            if decode == "cpu" or not self._begins_on(GpuDecoder(cuda_device), decode):
                self._begin_file()
        except BaseException:
            self.close()
            raise

    @property
    def decoder(self) -> str:
        """Where pictures are decoded: `cpu`, or `cuda:0` and so on."""
        return "cpu" if self._gpu is None else str(self._gpu)

    @property
    def decode_errors(self) -> int:
        """Packets so far that failed to decode and frames that came out damaged."""
        return self._reader.decode_errors

    @property
    def derived_timestamps(self) -> int:
        """Frames so far whose own timestamp was missing or not later than the one before."""
        return self._clock.derived

    def frames(self) -> Iterator[Frame]:
        """Yield every frame once; a source can be read once.

        Raises:
            SourceError: With `strict`, a frame failed to decode.
        """
        frames, self._frames = self._frames, iter(())
        yield from frames

    def tail(self) -> tuple[Packet, ...]:
        """Return the packets of other streams after the last frame that was yielded."""
        return self._span.cut(self._reader.take_aside())

    def close(self) -> None:
        """Close the file; frames already yielded stay valid, the streams in `info` do not."""
        self._container.close()

    def _begins_on(self, gpu: GpuDecoder, decode: Decode) -> bool:
        """Begin with a GPU's decoder; return whether that works."""
        opened = self._container
        try:
            self._container, self._gpu = gpu.open(Path(self._url)), gpu
            self._begin_file()
        except GpuRefusalError as error:
            if self._container is not opened:
                self._container.close()
            self._container, self._gpu, self._size = opened, None, None
            if decode == "cuda":
                raise SourceError(
                    f"{self._url}: cannot be decoded on {gpu}: {error}; --decode auto has the CPU"
                    " do what the GPU cannot"
                ) from error
            log.info("%s: decoded by the CPU, not on %s: %s", self._url, gpu, error)
        finally:
            if self._container is not opened:
                opened.close()
        if self._gpu is not None:
            log.info("%s: decoded on %s", self._url, gpu)
        return self._gpu is not None

    def _begin_file(self) -> None:
        """Decode the first frame, and describe the file by it."""
        zero = Fraction(self._container.start_time or 0, 1_000_000)
        self._span = Span(*self._range_s, zero=zero)
        self._open_video(self._threads)
        self._frames = self._begin(self._deinterlace)

    def _open_video(self, threads: int) -> None:
        stream = probe.video_stream(self._container, self._url)
        # PyAV's default is slices only, which most files do not have.
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        if self._gpu is not None:
            self._gpu.check_codec(stream.codec_context)
        self._stream = stream
        self._time_base = probe.time_base(stream, self._url)
        rate = probe.frame_rate(stream)
        self._clock = Clock(step=round(1 / (rate * self._time_base)) if rate else 1)
        self._reader = Reader(self._container, stream, url=self._url, strict=self._strict)

    def _begin(self, deinterlace: Deinterlace) -> Iterator[Frame]:
        """Decode the first frame, describe the file by it and return the iterator of all."""
        start = self._span.start
        pictures = self._reader.pictures() if start is None else self._reader.pictures_from(start)
        picture = self._first_of(pictures)
        self.info = probe.describe(self._container, self._stream, picture, url=self._url)
        pictures = chain([picture], pictures)
        if self.info.interlaced:
            pictures = self._whole(pictures, deinterlace, flagged=picture.interlaced_frame)
        del picture
        frames = self._as_frames(pictures)
        first = next(frames, None)
        if first is None:
            raise self._no_frame()
        self.info = self._span.describe(self.info)
        return chain([first], frames)

    def _first_of(self, pictures: Iterator[VideoFrame]) -> VideoFrame:
        if self._gpu is None:
            picture = next(pictures, None)
            if picture is None:
                raise self._no_frame()
            return picture
        try:
            with heard():
                picture = next(pictures, None)
        except SourceError as error:
            raise GpuRefusalError(str(error)) from error
        if picture is None:
            raise GpuRefusalError(f"it decodes nothing ({self._reader.decode_errors} error(s))")
        self._gpu.check_picture(picture, self._stream.codec_context)
        return picture

    def _no_frame(self) -> SourceError:
        if self._span.whole:
            return SourceError(
                f"{self._url}: no frame of its video could be decoded"
                f" ({self._reader.decode_errors} error(s)); the file is damaged or truncated"
            )
        return SourceError(
            f"{self._url}: has no frame between --start and --end;"
            f" it lasts {probe.duration_s(self._container, self._stream) or 0:.3f} s"
        )

    def _whole(
        self, pictures: Iterator[VideoFrame], deinterlace: Deinterlace, *, flagged: bool
    ) -> Iterator[VideoFrame]:
        """Return interlaced pictures as whole frames, or refuse them."""
        if deinterlace == "refuse":
            raise SourceError(
                f"{self._url}: is interlaced, each of its frames shows two moments;"
                " ask for --deinterlace yadif to make whole frames of them first"
            )
        if self._gpu is not None:
            raise GpuRefusalError("it is interlaced, and the CPU deinterlaces")
        self.info = replace(self.info, interlaced=False)
        return deinterlaced(
            pictures,
            self._unpacker,
            name=deinterlace,
            time_base=self._time_base,
            only_flagged=flagged,
        )

    def _as_frames(self, pictures: Iterator[VideoFrame]) -> Iterator[Frame]:
        """Yield the pictures within the span as frames."""
        span = self._span
        for picture in pictures:
            before = self._clock.last
            pts = self._clock.timestamp(picture)
            time = pts * self._time_base
            if span.end is not None and time >= span.end:
                self._reader.read_aside_until(span.end)
                return
            if self._size is None:
                if span.start is not None and time < span.start:
                    continue
                span.begin_at(time)
            yield self._frame(picture, pts, before)
        if span.end is None:
            self._warn_if_short()

    def _frame(self, picture: VideoFrame, pts: int, before: int | None) -> Frame:
        size = (picture.width, picture.height)
        gap = before is None or (pts - before) * self._time_base > _GAP_S
        changed, self._size = size != self._size, size
        maker: GpuDecoder | Unpacker = self._unpacker
        if self._gpu is not None:
            if self._gpu.holds(picture):
                maker = self._gpu
            else:
                self._tell_of_host(pts)
        return maker.frame(
            picture,
            pts=pts - round(self._span.origin / self._time_base),
            time_base=self._time_base,
            duration=picture.duration or 0,
            discontinuity=gap or changed,
            packets=self._span.cut(self._reader.take_aside()),
        )

    def _tell_of_host(self, pts: int) -> None:
        """Say so once where a GPU stops in the middle of a file, and FFmpeg's decoder goes on."""
        if not self._has_left_gpu:
            self._has_left_gpu = True
            log.warning(
                "%s: from %.3f s on pictures come from the CPU, not from %s",
                self._url,
                float(pts * self._time_base),
                self.decoder,
            )

    def _warn_if_short(self) -> None:
        """Say so where a file ends long before its header says it does."""
        stream, last = self._stream, self._clock.last
        if stream.duration is None or last is None:
            return
        missing = float(((stream.start_time or 0) + stream.duration - last) * self._time_base)
        if missing > _GAP_S + (1 / self.info.frame_rate if self.info.frame_rate else 0):
            log.warning("%s: ends %.1f s before its header says", self._url, missing)


def open_container(path: Path) -> InputContainer:
    """Open a media file for reading.

    Raises:
        SourceError: It is missing, a folder, empty, unreadable or not a media file.
    """
    if path.is_dir():
        raise SourceError(f"{path}: is a folder; give a file, or the folder to `demoire clean`")
    try:
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: is empty (0 bytes); copy or record it again")
        return open_input(path)
    except FFmpegError as error:
        raise SourceError(f"{path}: {_reason(error)}") from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; check the name and the rights") from error


def _reason(error: FFmpegError) -> str:
    """Put FFmpeg's words and its last log line into a sentence."""
    if isinstance(error, OSError):
        return f"{error.strerror}; check the name and the rights"
    detail = error.log[1][2].strip() if error.log and error.log[1] else ""
    return (
        f"is not a video that FFmpeg can read ({detail or error.strerror});"
        " it may be truncated or of another kind"
    )
