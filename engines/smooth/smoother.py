"""One clip's pictures, each blended with the past of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.engine import Flicker, Moment, PictureFormat, Smoothing
from engines.smooth import trust
from engines.smooth.bands import BandEstimator
from engines.smooth.course import Course, Leg
from engines.smooth.drift import Drift, Kind, Tone
from engines.smooth.motion import Homography, Thumbnail
from engines.smooth.tally import FlickerTally, Sample
from engines.smooth.trust import Blocks

Rows = NDArray[np.float32]
"""A value for each row."""

Picture = TypeVar("Picture")
"""Planes wherever they are: in memory, or on a device."""


class Blender(Protocol[Picture]):
    """The arithmetic on whole planes, and the past that it works on; padded, on one device.

    Small copies and values of blocks are NumPy's: what to do is decided on the host.
    """

    def look(self, picture: Picture) -> tuple[Thumbnail, list[Blocks]]:
        """Take the next picture: return its luma at half size, and each plane's block means.

        All in 8-bit levels: uint8 (H / 2, W / 2), and float32.
        """
        ...

    def relit(self, picture: Picture, gains: Rows) -> Picture:
        """Return the last picture looked at with each row brighter or darker, rounded.

        Args:
            picture: The picture.
            gains: Of rows of luma at half size, (H / 2,); fewer where the rest is padding. RGB and
                luma are multiplied, chroma's distance from the middle is.
        """
        ...

    def compare(
        self, homography: Homography | None, tones: Sequence[Tone]
    ) -> tuple[Blocks, list[Blocks]]:
        """Move the past to where the picture is, and tell it from the last one looked at.

        Args:
            homography: From a pixel of the picture to that of the past; None leaves it in place.
            tones: Of each plane: what has become of the past's levels.

        Returns:
            The mean absolute difference of luma at half size in each block, and each plane's mean
            difference, the picture less the past.
        """
        ...

    def blend(self, picture: Picture, shares: Sequence[Blocks], tones: Sequence[Tone]) -> Picture:
        """Return a picture blended with the past as it was moved, and make that the past.

        Args:
            picture: The last one looked at.
            shares: Of the picture in the result, 0..1, for each plane.
            tones: As for `compare`.
        """
        ...


class Smoother(Generic[Picture]):
    """Smooths one clip.

    Args:
        picture_format: Of its pictures.
        smoothing: Time constants, and whether bands go.
        blender: For pictures of this format.
    """

    def __init__(
        self, picture_format: PictureFormat, smoothing: Smoothing, blender: Blender[Picture]
    ) -> None:
        self._format = picture_format
        self._blender = blender
        self._course = Course(smoothing, picture_format)
        chroma: Kind = "brightness" if picture_format.layout == "gbr" else "tint"
        kinds: list[Kind] = ["brightness", chroma, chroma]
        self._drift = Drift(kinds[: len(picture_format.plane_shapes)])
        self._tally = FlickerTally()
        self._bands: BandEstimator | None = None
        if smoothing.deband:
            self._bands = BandEstimator(rows=max(1, picture_format.height // 2))
        self._last: list[Blocks] = []
        self._turn = 0

    @property
    def flicker(self) -> Flicker | None:
        """See `Session.flicker`."""
        return self._tally.flicker

    def smooth(self, picture: Picture, moment: Moment) -> Picture:
        """Return the next picture smoothed.

        Args:
            picture: As it was cleaned, padded as the blender needs it.
            moment: When it is shown.
        """
        thumbnail, means = self._look(picture)
        gains = None
        if self._bands is not None:
            gains = self._bands.follow(thumbnail, time_s=moment.time_s, fresh=moment.reset)
        if gains is not None:
            picture = self._blender.relit(picture, gains)
            thumbnail, means = self._look(picture)
        leg = self._course.next(thumbnail, moment)
        result = self._begun(picture, means) if leg.fresh else self._blended(picture, means, leg)
        self._last = means
        return result

    def _look(self, picture: Picture) -> tuple[Thumbnail, list[Blocks]]:
        """Return what `Blender.look` does, without padding in the thumbnail."""
        thumbnail, means = self._blender.look(picture)
        rows, columns = max(1, self._format.height // 2), max(1, self._format.width // 2)
        return thumbnail[:rows, :columns], means

    def _begun(self, picture: Picture, means: list[Blocks]) -> Picture:
        """Return a picture as it is: the first of a scene."""
        self._tally.begin(means[0])
        self._drift.forget()
        everything = [np.ones_like(means[0])] * len(means)
        return self._blender.blend(picture, everything, [Tone()] * len(means))

    def _blended(self, picture: Picture, means: list[Blocks], leg: Leg) -> Picture:
        sample = Sample.at(self._turn)
        self._turn += 1
        before = [sample.of(blocks, leg.homography) for blocks in self._last]
        after = [sample.of(blocks) for blocks in means]
        for plane, samples in enumerate(zip(before, after, strict=True)):
            self._drift.learn(plane, *samples, elapsed_s=leg.elapsed_s)
        tones = self._drift.step(leg.elapsed_s)
        error, offsets = self._blender.compare(leg.homography, tones)
        most = trust.MOST_NOISE if leg.homography is None else trust.MOST_NOISE_MOVED
        trusted = trusted_blocks(error, offsets, most_noise=most)
        # In RGB colour is told by all planes: one blended harder would tint what changes.
        chroma = leg.luma if self._format.layout == "gbr" else leg.chroma
        of_luma, of_chroma = (1 - np.float32(1 - share) * trusted for share in (leg.luma, chroma))
        shares = [of_luma, of_chroma, of_chroma][: len(means)]
        smoothed = means[0] - (1 - of_luma) * offsets[0]
        self._tally.add(
            after[0] - before[0],
            smoothed,
            trust=trusted,
            homography=leg.homography,
            sample=sample,
        )
        return self._blender.blend(picture, shares, tones)


def trusted_blocks(error: Blocks, offsets: Sequence[Blocks], *, most_noise: float) -> Blocks:
    """Return how far the past is trusted in each block, 0..1; see `engines.smooth.trust`.

    Args:
        error: Mean absolute difference of luma.
        offsets: Mean difference of each plane.
        most_noise: What more than that differs is no noise, in 8-bit levels.
    """
    # In two arrays: new ones take longer than what is done in them.
    worst, other = (np.empty(error.shape, np.float32) for _ in range(2))
    np.abs(offsets[0], out=worst)
    for offset in offsets[1:]:
        np.maximum(worst, np.abs(offset, out=other), out=worst)
    worst *= np.float32(trust.LOW)
    np.maximum(worst, error, out=worst)
    np.add(worst, np.float32(trust.FLOOR), out=other)
    quiet = 1 / float(np.reciprocal(other, out=other).mean())
    noise = trust.NOISE * (quiet - trust.FLOOR)
    noise = min(max(noise, trust.LEAST_NOISE), most_noise)
    cv2.dilate(worst, np.ones((3, 3), np.uint8), dst=other)  # no value beyond the edge
    cv2.blur(other, (3, 3), dst=worst, borderType=cv2.BORDER_REPLICATE)
    scale = 1 / (trust.END - trust.BEGIN)
    worst *= np.float32(-scale / noise)
    worst += np.float32(trust.END * scale)
    np.maximum(worst, 0, out=worst)
    np.minimum(worst, 1, out=worst)
    return worst
