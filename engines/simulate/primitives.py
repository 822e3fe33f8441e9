"""What the array API lacks: neighbourhoods, resampling, colour, noise; one function each.

The bodies here are for NumPy, by OpenCV. Tensors go to the namesakes in `primitives_torch`, which
follow OpenCV in borders, kernel sizes and rounding: results differ in the last digits only.
Pictures are (H, W) or (H, W, 3) float32. Beyond its border a picture is mirrored about its
outermost pixels (OpenCV's `BORDER_REFLECT_101`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, cast

import cv2
import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from engines.simulate.arrays import Array

if TYPE_CHECKING:
    import torch

    from engines.simulate.camera import Shrink

Floats = NDArray[np.float32]
Parameters = ParamSpec("Parameters")

DIGITAL_WHITE = 32768
"""Of the 16 bits that a mosaic is interpolated in; above is room for what noise adds."""

_BORDER = cv2.BORDER_REFLECT_101
_INTERPOLATION: dict[Shrink, int] = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    # Plain INTER_NEAREST moves the picture by half a pixel against the truth.
    "nearest": cv2.INTER_NEAREST_EXACT,
}


class _Primitive(Generic[Parameters]):
    """A function for NumPy's arrays; what begins with a tensor goes to its torch namesake."""

    def __init__(self, on_numpy: Callable[Concatenate[Floats, Parameters], Floats]) -> None:
        self.__wrapped__ = on_numpy
        self.__doc__ = on_numpy.__doc__

    def __call__(
        self, image: Array, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Array:
        if isinstance(image, np.ndarray):
            return cast(Array, self.__wrapped__(image, *args, **kwargs))
        # The base install has no torch: only a tensor says that it is there.
        from engines.simulate import primitives_torch

        on_torch = getattr(primitives_torch, self.__wrapped__.__name__)
        return cast(Array, on_torch(image, *args, **kwargs))


@_Primitive
def nearest(
    image: Floats, /, x: NDArray[Any] | torch.Tensor, y: NDArray[Any] | torch.Tensor
) -> Floats:
    """Return the pixels nearest to points, (h, w, 3) float32; halves go to the even pixel.

    Args:
        image: (H, W, 3) float32.
        x: Column of each point, (h, w) float32; whole numbers are the pixels' centres.
        y: Row of each point.
    """
    columns, rows = cast(Floats, x), cast(Floats, y)
    return cast(Floats, cv2.remap(image, columns, rows, cv2.INTER_NEAREST, borderMode=_BORDER))


@_Primitive
def blur(image: Floats, /, sigma: float) -> Floats:
    """Blur with a Gaussian of `sigma` pixels, above 0, cut off at four sigma."""
    whole = np.ascontiguousarray(image)
    return cast(Floats, cv2.GaussianBlur(whole, (0, 0), sigma, borderType=_BORDER))


@_Primitive
def correlate(image: Floats, /, kernel: NDArray[np.floating[Any]]) -> Floats:
    """Return each pixel's neighbourhood weighed by a kernel, both sides odd, as given: no flip."""
    return cast(Floats, cv2.filter2D(image, -1, kernel, borderType=_BORDER))


@_Primitive
def shift(image: Floats, /, x: float, y: float) -> Floats:
    """Move a picture (H, W) by parts of a pixel to the right and down, by cubic convolution.

    OpenCV before 5 rounds both to 1/32 pixel.
    """
    height, width = image.shape
    return cast(
        Floats,
        cv2.warpAffine(
            np.ascontiguousarray(image),
            np.array([[1, 0, x], [0, 1, y]], np.float32),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=_BORDER,
        ),
    )


@_Primitive
def resize(image: Floats, /, *, height: int, width: int, method: Shrink) -> Floats:
    """Shrink a picture to a size not above its own; a sample halfway may go to either neighbour.

    Args:
        image: (H, W, 3).
        height: Rows, 1..H.
        width: Columns, 1..W.
        method: `area` averages what a new pixel covers; the others sample at its centre.
    """
    return cast(Floats, cv2.resize(image, (width, height), interpolation=_INTERPOLATION[method]))


@_Primitive
def bilateral(image: Floats, /, *, step: float, sigma: float) -> Floats:
    """Smooth a picture (H, W) within two pixels, less across edges.

    Args:
        image: (H, W).
        step: Difference in value at which a neighbour's weight is exp(-1/2).
        sigma: The same for distance in pixels.
    """
    return cast(Floats, cv2.bilateralFilter(np.ascontiguousarray(image), 5, step, sigma))


@_Primitive
def demosaic_bilinear(raw: Floats, /) -> Floats:
    """Interpolate an RGGB mosaic in 0..1 from the nearest pixels of a colour, (H, W) to (H, W, 3).

    In steps of 1/32768; the outermost rows and columns repeat their inner neighbours.
    """
    return _demosaic(raw, cv2.COLOR_BayerRGGB2RGB)


@_Primitive
def demosaic_edge_aware(raw: Floats, /) -> Floats:
    """Interpolate as `demosaic_bilinear`, but green along its lesser change."""
    return _demosaic(raw, cv2.COLOR_BayerRGGB2RGB_EA)


def _demosaic(raw: Floats, code: int) -> Floats:
    digital = np.clip(raw * DIGITAL_WHITE, 0, 65535).astype(np.uint16)
    rgb: Floats = cv2.cvtColor(digital, code).astype(np.float32)
    return rgb / np.float32(DIGITAL_WHITE)


def interleave(raw: Array, *, green: Array, row: Array, column: Array, opposite: Array) -> Array:
    """Return an RGGB mosaic's RGB, (H, W) to (H, W, 3): each pixel's own colour as measured.

    Args:
        raw: The mosaic.
        green: Interpolated where red or blue was measured; all are (H, W).
        row: Where green was measured, the colour that its row has.
        column: The colour that its column has.
        opposite: Blue where red was measured and red where blue was.
    """
    out: Array = array_namespace(raw).stack([raw, raw, raw], axis=-1)
    out[::2, ::2, 1], out[1::2, 1::2, 1] = green[::2, ::2], green[1::2, 1::2]
    out[::2, 1::2, 0], out[1::2, ::2, 0] = row[::2, 1::2], column[1::2, ::2]
    out[::2, 1::2, 2], out[1::2, ::2, 2] = column[::2, 1::2], row[1::2, ::2]
    out[1::2, 1::2, 0], out[::2, ::2, 2] = opposite[1::2, 1::2], opposite[::2, ::2]
    return out


@_Primitive
def transform(image: Floats, /, matrix: Floats) -> Floats:
    """Multiply every pixel's colour, (H, W, 3), by a 3x3 matrix from the left."""
    return cast(Floats, cv2.transform(image, matrix))


@_Primitive
def luma(rgb: Floats, /) -> Floats:
    """Return BT.601's luma, (H, W, 3) to (H, W)."""
    return cast(Floats, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


@_Primitive
def to_ycc(rgb: Floats, /) -> Floats:
    """Return luma, red and blue difference (BT.601, grey at 0.5), (H, W, 3)."""
    return cast(Floats, cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))


@_Primitive
def from_ycc(ycc: Floats, /) -> Floats:
    """Return the RGB of what `to_ycc` makes, (H, W, 3); to three digits, as OpenCV's constants."""
    return cast(Floats, cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB))


@_Primitive
def standard_normal(like: Floats, /, rng: np.random.Generator, *, shape: tuple[int, ...]) -> Floats:
    """Draw from the standard normal distribution, float32.

    A seed gives other numbers to either library, and leaves `rng` in another state: torch seeds a
    generator of its own with one draw, to have the numbers made where they are needed.

    Args:
        like: For library and device.
        rng: Drawn from.
        shape: Of the result.
    """
    return rng.standard_normal(shape, np.float32)
