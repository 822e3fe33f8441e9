"""From frames of YUV to RGB arrays and back, rounded: for judging and simulating, not for cleaning.

swscale's usual way from YUV is fast and a level too dark, two with its exact rounding alone. Every
generation of a simulated upload lost that much, and every frame that was judged.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""

# Within half a level of the formulas both ways; from YUV only with both of the last two.
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def to_rgb(frame: av.VideoFrame, *, bt709: bool = False) -> Picture:
    """Return a frame as RGB.

    Args:
        frame: In any format.
        bt709: Take it for BT.709 in limited range, whatever it is tagged as.
    """
    picture = frame.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if bt709 else None,
        src_color_range=ColorRange.MPEG if bt709 else None,
        interpolation=_EXACT,
    )
    return np.asarray(picture.to_ndarray(), np.uint8)


def to_yuv420(picture: Picture, *, bt709: bool = False) -> av.VideoFrame:
    """Return RGB as a frame of 8-bit 4:2:0 in limited range.

    Args:
        picture: (H, W, 3); odd sides round up.
        bt709: By that matrix; otherwise by the one that frames without tags are read by.
    """
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709 if bt709 else None,
        dst_color_range=ColorRange.MPEG,
        interpolation=_EXACT,
    )
