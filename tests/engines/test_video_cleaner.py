"""Clips through an engine as videos go: planes there and back, frame by frame and smoothed."""

import numpy as np
import pytest
from fringed import HEIGHT, WIDTH, truth

from engines.backends import create_engine
from engines.engine import Smoothing
from engines.evaluate.cases import ClipCase
from engines.evaluate.video import ClipCleaner, to_planes, to_rgb

AUTO = Smoothing(luma_s=0.15, chroma_s=0.25)


def pulsing(frames, frame_rate=30.0):
    """A page that gets lighter by two levels in every other picture."""
    still = np.stack([truth()] * frames)
    pictures = still.copy()
    pictures[1::2] += 2
    return ClipCase("page", pictures, still, frame_rate)


def cleaned(case, smoothing=None):
    engine = create_engine("identity")
    outputs = ClipCleaner(engine, smoothing)(case)
    engine.close()
    return outputs


@pytest.mark.parametrize("shape", [(96, 130), (33, 35), (2, 2), (1, 1)])
def test_planes_and_back_change_grey_by_a_level(shape):
    shade = np.random.default_rng(0).integers(0, 256, (*shape, 1), dtype=np.uint8)
    picture = np.repeat(shade, 3, axis=2)
    planes = to_planes(picture)
    half = tuple(-(-side // 2) for side in shape)
    assert [plane.shape for plane in planes] == [shape, half, half]
    assert np.abs(to_rgb(planes).astype(int) - picture).max() <= 2


@pytest.mark.parametrize("colour", [(200, 40, 90), (255, 0, 0), (0, 0, 255), (20, 240, 30)])
def test_planes_and_back_keep_colour(colour):
    picture = np.full((32, 48, 3), colour, np.uint8)
    assert np.abs(to_rgb(to_planes(picture)).astype(int) - picture).max() <= 3


def test_model_is_frame_by_frame_and_smoothed_is_left_out_without():
    case = pulsing(4)
    outputs = cleaned(case)
    assert outputs.keys() == {"model"}
    expected = np.stack([to_rgb(to_planes(frame)) for frame in case.clip])
    np.testing.assert_array_equal(outputs["model"], expected)


def test_smoothed_stands_beside_the_same_frames_unsmoothed():
    case = pulsing(12)
    outputs = cleaned(case, AUTO)
    np.testing.assert_array_equal(outputs["model"], cleaned(case)["model"])
    pulse = {name: np.abs(np.diff(c.astype(int), axis=0)).mean() for name, c in outputs.items()}
    assert outputs["smoothed"].shape == (12, HEIGHT, WIDTH, 3)
    assert pulse["smoothed"] < 0.6 * pulse["model"]


def test_past_lasts_as_long_at_any_frame_rate():
    # At 2 frames a second hardly anything of the past is left.
    outputs = {rate: cleaned(pulsing(12, rate), AUTO) for rate in (2.0, 60.0)}
    left = {
        rate: np.abs(np.diff(found["smoothed"][4:].astype(int), axis=0)).mean()
        for rate, found in outputs.items()
    }
    assert left[60.0] < 0.5 * left[2.0]


def test_odd_sizes_come_back_as_they_went():
    odd = np.random.default_rng(0).integers(90, 110, (3, 33, 35, 3), dtype=np.uint8)
    outputs = cleaned(ClipCase("odd", odd, odd), AUTO)
    assert {clip.shape for clip in outputs.values()} == {odd.shape}
