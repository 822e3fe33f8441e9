"""Whole clips through encoders: in order, as many, worse at lower rates, with bounded memory."""

import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.evaluate.metrics import psnr
from engines.simulate.clip_codec import (
    ClipCompression,
    compress_clip,
    compress_filmed,
    draw_generations,
)
from engines.simulate.codec import rescale
from engines.simulate.film import Filmed

RATE = Fraction(30)
CODECS = ["h264", "hevc"]


def clip(frames, *, height=64, width=96):
    """Yield a textured square that goes right, on grey that gets brighter by 4 a frame."""
    texture = np.random.default_rng(0).integers(0, 256, (24, 24, 1), dtype=np.uint8)
    for number in range(frames):
        picture = np.full((height, width, 3), 40 + 4 * number % 200, np.uint8)
        left = 2 * number % (width - 24)
        picture[20:44, left : left + 24] = texture
        yield picture


def through(generations, frames=12):
    return list(compress_clip(clip(frames), generations, frame_rate=RATE))


def quality(generations):
    return np.mean([psnr(*pair) for pair in zip(through(generations), clip(12), strict=True)])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("frames", [0, 1, 2, 23])
def test_every_frame_comes_once_and_in_order(codec, b_frames, frames):
    generations = [ClipCompression(codec=codec, b_frames=b_frames, crf=20)]
    levels = [int(np.median(picture)) for picture in through(generations, frames)]
    np.testing.assert_allclose(levels, 40 + 4 * np.arange(frames), atol=3)


def test_no_generation_leaves_the_clip_alone():
    for found, wanted in zip(through([]), clip(12), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("codec", CODECS)
def test_worse_quality_loses_more(codec):
    kept = [quality([ClipCompression(codec=codec, crf=crf)]) for crf in (12, 28, 44)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 30


@pytest.mark.parametrize("codec", CODECS)
def test_lower_bit_rate_loses_more(codec):
    # Small pictures get little: 64x96 of 1080p is a three-hundredth of the rate.
    rich, poor = (quality([ClipCompression(codec=codec, mbit_s=rate)]) for rate in (200, 8))
    assert rich > poor + 3


def test_second_generation_loses_more_than_the_first():
    first = ClipCompression(crf=26)
    assert quality([first, ClipCompression(crf=34)]) < quality([first])
    assert quality([first, ClipCompression(crf=10, rescale=2.5)]) < quality([first])


@pytest.mark.parametrize("codec", CODECS)
def test_same_clip_gives_the_same_bytes(codec):
    generations = [ClipCompression(codec=codec, b_frames=3)]
    first, again = ([p.tobytes() for p in through(generations)] for _ in range(2))
    assert first == again


@pytest.mark.parametrize("codec", CODECS)
def test_few_frames_are_held_at_a_time(codec):
    taken = given_back = most = 0

    def counted():
        nonlocal taken
        for picture in clip(90):
            taken += 1
            yield picture

    generations = [ClipCompression(codec=codec, b_frames=3)] * 2
    for _ in compress_clip(counted(), generations, frame_rate=RATE):
        given_back += 1
        most = max(most, taken - given_back)
    assert given_back == 90
    assert most < 45


def test_a_truth_is_scaled_as_its_picture_and_not_compressed():
    generations = [ClipCompression(crf=30, b_frames=3, rescale=1.7)]
    pairs = [Filmed(picture, 255 - picture) for picture in clip(12)]
    coded = compress_filmed(iter(pairs), generations, frame_rate=RATE)
    for found, picture, pair in zip(coded, through(generations), pairs, strict=True):
        np.testing.assert_array_equal(found.picture, picture)
        np.testing.assert_array_equal(found.truth, rescale(pair.truth, 1.7))


def test_leaving_early_closes_the_clip_and_leaves_no_thread():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield from (Filmed(picture, picture) for picture in clip(10))
        finally:
            closed.set()

    before = threading.active_count()
    coded = compress_filmed(endless(), [ClipCompression(codec="hevc")], frame_rate=RATE)
    next(coded)
    coded.close()
    assert closed.is_set()
    assert threading.active_count() == before


@given(st.integers(0, 2**32 - 1), st.one_of(st.none(), st.floats(1.2, 3)))
@settings(max_examples=50, deadline=None)
def test_drawn_generations_stay_within_the_documented_ranges(seed, copied):
    recording, *uploads = draw_generations(np.random.default_rng(seed), copied=copied)
    assert 4 <= recording.mbit_s <= 25
    assert recording.b_frames == 0
    assert len(uploads) == (copied is not None)
    for upload in uploads:
        assert 1 <= upload.mbit_s <= 4
        assert upload.rescale == copied
        assert 1 <= upload.b_frames <= 3
