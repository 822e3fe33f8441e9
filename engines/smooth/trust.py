"""Where the past explains the present: the rules that `host` and `reference` share.

The picture is judged in blocks of 8x8 luma pixels, on luma at half size. What differs between the
present and the past is noise and what is left of fringes, about as much everywhere, or it is
something that moved: more than that. All levels are those of 8 bits.

    e = max(mean of |d|, LOW * |mean of d|, LOW * |mean of d| of each chroma plane)
    n = NOISE * (1 / mean over all blocks of 1 / (e + FLOOR) - FLOOR), within bounds
    e becomes the largest of 3x3 blocks, then the mean of 3x3 blocks
    trust = (END - e / n) / (END - BEGIN), within 0..1

The harmonic mean follows the quiet blocks, however many of the others move. A block of the result
is `past + share * (present - past)` with `share = 1 - (1 - least share) * trust`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Blocks = NDArray[np.float32]
"""A value for each block, (rows, columns)."""

BLOCK = 8
"""Luma pixels per side; chroma blocks cover the same part of the picture."""

LOW = 2.0
"""Weight of what a whole block, or its colour, differs by: noise averages out there."""
NOISE = 1.2
FLOOR = 0.5
LEAST_NOISE = 1.2
MOST_NOISE, MOST_NOISE_MOVED = 5.0, 2.0
"""Levels. Where everything moves and plays, no block is quiet, and what differs is motion."""
BEGIN, END = 2.0, 4.0
"""Of the noise: what is trusted wholly, and what not at all."""
