"""The last step of a photo's or a frame's way: lossy compression with subsampled chroma."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray


def jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return `rgb` (H, W, 3) after JPEG with 4:2:0 chroma at `quality` (1..100)."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"JPEG encoding failed for {rgb.shape=}, {quality=}")
    return cast(NDArray[np.uint8], cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
