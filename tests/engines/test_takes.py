"""Takes: everything from a seed, listed before anything is filmed."""

import json
import threading
from dataclasses import asdict, replace
from fractions import Fraction

import numpy as np
import pytest

from engines.simulate.content import SCENES
from engines.simulate.takes import (
    Show,
    draw_clip,
    draw_picture,
    film_clip,
    film_picture,
    load_show,
)

SHOW = Show()
SIZE = {"height": 96, "width": 128}


def film_frames(take, frames=3):
    return list(film_clip(take, SHOW, **SIZE, frame_rate=Fraction(25), frames=frames))


def raw(filmed):
    return filmed.picture.tobytes() + filmed.truth.tobytes()


def test_picture_repeats_itself_by_seed():
    assert draw_picture(1, 2) == draw_picture(1, 2) != draw_picture(1, 3)
    first, again, other = (
        raw(film_picture(draw_picture(1, number), SHOW, **SIZE)) for number in (2, 2, 3)
    )
    assert first == again != other


def test_truth_of_a_picture_has_its_mean_colours():
    filmed = film_picture(draw_picture(1, 2), SHOW, **SIZE)
    assert np.abs(filmed.picture.mean((0, 1)) - filmed.truth.mean((0, 1))).max() < 2


def test_clip_repeats_itself_by_seed():
    take = draw_clip(1, 4)
    assert [raw(f) for f in film_frames(take)] == [raw(f) for f in film_frames(take)]


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_clips_go_through_every_kind_of_scene(number):
    take = draw_clip(3, number)
    assert take.scene == list(SCENES)[number]
    frames = film_frames(take)
    assert len(frames) == 3
    for filmed in frames:
        assert filmed.picture.shape == filmed.truth.shape == (96, 128, 3)


def test_clips_are_compressed_as_clips_and_not_as_pictures():
    for number in range(20):
        conditions = draw_clip(3, number).conditions
        assert conditions.compression is conditions.first_compression is None
        assert conditions.rescale == 1


def test_truth_of_a_clip_has_the_mean_colours_of_its_pictures():
    bright = draw_clip(1, 0)
    sensor = replace(bright.conditions.sensor, exposure=1.4)
    take = replace(bright, conditions=replace(bright.conditions, sensor=sensor), generations=())
    for filmed in film_frames(take):
        assert np.abs(filmed.picture.mean((0, 1)) - filmed.truth.mean((0, 1))).max() < 3


def test_tripod_and_hand_are_as_asked_for():
    tripods, hands = (
        [draw_clip(1, number, holding=holding).hand for number in range(10)]
        for holding in ("tripod", "hand")
    )
    assert all(hand.tremor_px <= 0.05 and hand.sway_deg == 0 for hand in tripods)
    assert all(0.3 <= hand.tremor_px <= 6 for hand in hands)
    mixed = [draw_clip(1, number).hand.sway_deg == 0 for number in range(30)]
    assert 0 < sum(mixed) < 30


@pytest.mark.parametrize("draw", [draw_picture, draw_clip])
def test_takes_can_be_written_as_json(draw):
    for number in range(20):
        asked = asdict(draw(1, number))
        assert json.loads(json.dumps(asked))["seed"] == [1, number]


def test_leaving_a_clip_early_leaves_no_thread():
    before = threading.active_count()
    frames = film_clip(draw_clip(1, 0), SHOW, **SIZE, frame_rate=Fraction(25), frames=80)
    next(frames)
    frames.close()
    assert threading.active_count() == before


def test_missing_photo_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone: no such folder"):
        load_show((tmp_path / "gone",))
