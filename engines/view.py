"""The 4:2:0 view that the network has of every layout: names and numbers all back ends share.

RGB is seen as BT.709 full-range YUV. That is only how the network looks at it: the residual comes
back through the inverse, so nothing about the picture's own colours is assumed or changed.
"""

from __future__ import annotations

from engines.engine import CHROMA_SHIFT, Layout

VIEW = ("y_unit", "u_unit", "v_unit")
"""Values in the ONNX file where the network begins: codes over their peak, float32."""
RESIDUALS = ("residual_y", "residual_u", "residual_v")
"""Values where it ends: what to subtract, in the same unit."""
BLOCK = 8
"""Luma samples per side of the blocks that the network begins and ends with; chroma has half."""
MULTIPLE_KEY = "demoire.multiple"
"""Metadata of the file: luma height and width must be multiples of this many samples."""
RANGES_KEY = "demoire.ranges"
"""Metadata of the file, where it has been measured: JSON, by the name of a convolution's weights
the lowest and highest value that it reads, for back ends that make integers of them."""
Ranges = dict[str, tuple[float, float]]
"""What stands there; below zero as far as above."""

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in Y; they sum to one."""
BLUE_SCALE = 2 * (1 - LUMA[2])
"""B - Y in units of U."""
RED_SCALE = 2 * (1 - LUMA[0])
"""R - Y in units of V."""
GREEN_OF_U = -LUMA[2] * BLUE_SCALE / LUMA[1]
"""G - Y is `GREEN_OF_U` * U + `GREEN_OF_V` * V: what red and blue leave of luma."""
GREEN_OF_V = -LUMA[0] * RED_SCALE / LUMA[1]


def chroma_window(layout: Layout) -> tuple[int, int]:
    """Return how many chroma samples of `layout`, down and across, one 4:2:0 sample averages."""
    shift_x, shift_y = CHROMA_SHIFT[layout]
    return 2 - shift_y, 2 - shift_x
