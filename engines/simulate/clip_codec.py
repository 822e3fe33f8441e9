"""Compression of whole clips: motion-compensated, so fringes are smeared and dragged along.

`codec` compresses single pictures; here P and B frames carry one frame's errors to the next, as in
every recording and upload. Frames go in and come out one at a time, a few tens of frames later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, tee
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from engines.rgb import Picture, to_rgb, to_yuv420
from engines.simulate import codec
from engines.simulate.film import Filmed

if TYPE_CHECKING:
    Packet = av.Packet[Any]

ClipCodec = Literal["h264", "hevc"]

_ENCODERS: dict[ClipCodec, str] = {"h264": "libx264", "hevc": "libx265"}
_FULL_HD = 1920 * 1080
_LOOK_AHEAD = 10
"""Frames that the encoder holds to plan ahead: bounds memory and delay."""

_PARAMETERS: dict[ClipCodec, tuple[str, str]] = {
    # With its macroblock tree, which no camera has, x264 does not repeat itself on small pictures:
    # measured, 200 runs of one clip of 96x64 gave 8 different streams.
    "h264": ("x264-params", f"rc-lookahead={_LOOK_AHEAD}:mbtree=0"),
    "hevc": (
        "x265-params",
        f"rc-lookahead={_LOOK_AHEAD}:log-level=none:pools=none:frame-threads=1",
    ),
}


@dataclass(frozen=True, kw_only=True)
class ClipCompression:
    """One generation of a clip: by bit rate, as cameras and uploads do it, or by quality."""

    codec: ClipCodec = "h264"
    mbit_s: float | None = None
    """Bit rate of a 1920x1080 clip in Mbit/s, scaled by area to other sizes: 4..25 from a camera,
    1..4 after an upload."""
    crf: int | None = 23
    """Constant quality, 0 (best) to 51; not used where a bit rate is given."""
    key_every: int = 60
    """Frames from one key frame to the next, at most."""
    b_frames: int = 2
    """B frames between two others, at most; phones use none."""
    rescale: float = 1.0
    """Before that, shrunk by this and enlarged again: an upload in a lower resolution. 1..3."""


def compress_clip(
    pictures: Iterable[Picture], generations: Sequence[ClipCompression], *, frame_rate: Fraction
) -> Iterator[Picture]:
    """Yield the clip's pictures, in order and as many, after every generation of compression.

    Args:
        pictures: (H, W, 3) uint8 RGB, all of one size, H and W even; taken as they are needed.
        generations: From the camera on; none leaves the pictures alone.
        frame_rate: Frames per second; what a bit rate is spread over.
    """
    clip = iter(pictures)
    for generation in generations:
        clip = _one_generation(clip, generation, frame_rate)
    yield from clip


def compress_filmed(
    clip: Iterable[Filmed], generations: Sequence[ClipCompression], *, frame_rate: Fraction
) -> Iterator[Filmed]:
    """Yield a filmed clip with its pictures compressed and its truths scaled alike.

    No codec touches a truth: key frames and B frames would make it flicker, and a clip's truth is
    there to show what stands still.

    Args:
        clip: Filmed frames of one size, both sides even.
        generations: From the camera on.
        frame_rate: Frames per second.
    """
    for_picture, for_truth = tee(clip)
    pictures = (filmed.picture for filmed in for_picture)
    coded = compress_clip(pictures, generations, frame_rate=frame_rate)
    for picture, filmed in zip(coded, for_truth, strict=True):
        truth = filmed.truth
        for generation in generations:
            if generation.rescale > 1:
                truth = codec.rescale(truth, generation.rescale)
        yield Filmed(picture, truth)


def draw_generations(
    rng: np.random.Generator, *, copied: float | None = None
) -> tuple[ClipCompression, ...]:
    """Draw a camera's recording, and an upload of it where `copied` says how much it was shrunk."""
    codecs: tuple[ClipCodec, ...] = ("h264", "hevc")
    low, high = np.log((4, 25))
    recording = ClipCompression(
        codec=codecs[int(rng.random() < 0.4)],
        mbit_s=float(np.exp(rng.uniform(low, high))),
        key_every=int(rng.integers(15, 61)),
        b_frames=0,
    )
    if copied is None:
        return (recording,)
    upload = ClipCompression(
        codec=codecs[int(rng.random() < 0.2)],
        mbit_s=rng.uniform(1, 4),
        key_every=int(rng.integers(60, 251)),
        b_frames=int(rng.integers(1, 4)),
        rescale=copied,
    )
    return recording, upload


def _one_generation(
    pictures: Iterator[Picture], compression: ClipCompression, frame_rate: Fraction
) -> Iterator[Picture]:
    if (first := next(pictures, None)) is None:
        return
    encoder = _encoder(compression, frame_rate, height=first.shape[0], width=first.shape[1])
    decoder = av.CodecContext.create(compression.codec, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1  # threads would hold back frames
    for number, picture in enumerate(chain((first,), pictures)):
        if compression.rescale > 1:
            picture = codec.rescale(picture, compression.rescale)
        frame = to_yuv420(picture)
        frame.pts, frame.time_base = number, 1 / frame_rate
        for packet in encoder.encode(frame):
            yield from _shown(decoder, packet)
    for packet in encoder.encode(None):
        yield from _shown(decoder, packet)
    yield from _shown(decoder, None)


def _shown(decoder: VideoCodecContext, packet: Packet | None) -> Iterator[Picture]:
    for frame in decoder.decode(packet):
        yield to_rgb(frame)


def _encoder(
    compression: ClipCompression, frame_rate: Fraction, *, height: int, width: int
) -> VideoCodecContext:
    encoder = av.CodecContext.create(_ENCODERS[compression.codec], "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = frame_rate, 1 / frame_rate
    encoder.thread_count = 1  # the same bytes on every machine
    encoder.gop_size, encoder.max_b_frames = compression.key_every, compression.b_frames
    name, parameters = _PARAMETERS[compression.codec]
    encoder.options = {"preset": "veryfast", name: parameters}
    if compression.mbit_s is not None:
        encoder.bit_rate = round(compression.mbit_s * 1e6 * height * width / _FULL_HD)
    else:
        encoder.options["crf"] = str(compression.crf)
    return encoder
