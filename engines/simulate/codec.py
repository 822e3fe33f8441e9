"""The last step of a photo's or a frame's way: lossy compression with subsampled chroma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from engines.rgb import to_rgb, to_yuv420


@dataclass(frozen=True)
class Compression:
    """One generation of compression."""

    codec: Literal["jpeg", "h264"]
    quality: int
    """JPEG quality, 1 (worst) to 100, or H.264's CRF, 0 (best) to 51."""


def rescale(rgb: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Return `rgb` (H, W, 3) shrunk by `factor` and enlarged again: a copy of a smaller copy."""
    height, width = rgb.shape[:2]
    smaller = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA)
    return cast(
        NDArray[np.uint8], cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    )


def compress(rgb: NDArray[np.uint8], compression: Compression) -> NDArray[np.uint8]:
    """Return `rgb`, (H, W, 3) uint8 with even sides, after compression and decompression."""
    return (jpeg if compression.codec == "jpeg" else h264)(rgb, compression.quality)


def jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return `rgb` (H, W, 3) after JPEG with 4:2:0 chroma at `quality` (1..100)."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"JPEG encoding failed for {rgb.shape=}, {quality=}")
    return cast(NDArray[np.uint8], cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def h264(rgb: NDArray[np.uint8], crf: int) -> NDArray[np.uint8]:
    """Return `rgb` (H, W, 3) after one intra frame of H.264 at `crf` (0..51), sides even."""
    height, width = rgb.shape[:2]
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.thread_count = 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "x264-params": "log=-1"}
    packets = [*encoder.encode(to_yuv420(rgb)), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return to_rgb(frames[0])
