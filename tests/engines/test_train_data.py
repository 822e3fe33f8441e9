"""Shards: what is held out, what is cut from the rest, and mixing with pairs."""

import random
from itertools import product

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from train_samples import SIDE, flat, fringed, sample, write_pairs, write_shard, write_shards

from engines.train.config import TrainConfig
from engines.train.data import DataError, Shards, both_planes, split_planes
from engines.train.resident import ResidentShards, _places, _turned
from engines.train.sources import Mixed, open_samples


def test_one_shard_is_not_enough(tmp_path):
    write_shard(tmp_path, 0, [flat(0)])
    with pytest.raises(DataError, match=r"needs two shards or more .*, found 1; make them"):
        Shards(tmp_path, 64)


def test_crop_that_shards_cannot_give_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"shard-00000\.npy: its samples are 128 wide, set crop to"):
        Shards(write_shards(tmp_path), SIDE + 64)


def test_file_that_is_no_shard_is_named(tmp_path):
    (tmp_path / "shard-00000.npy").write_bytes(b"not NumPy's")
    with pytest.raises(DataError, match=r"shard-00000\.npy: is no shard"):
        Shards(tmp_path, 64)


def test_first_shard_is_kept_for_validation(tmp_path):
    for number in range(3):
        write_shard(tmp_path, number, [flat(number)])
    shards, rng = Shards(tmp_path, 64), random.Random(0)
    (held_out,) = shards.validation
    assert (held_out == 0).all()
    assert set(np.unique(shards.batch(rng, 20))) == {1, 2}


def test_shards_written_since_are_taken_up(tmp_path):
    for number in range(2):
        write_shard(tmp_path, number, [flat(number)])
    shards, rng = Shards(tmp_path, 64), random.Random(0)
    write_shard(tmp_path, 2, [flat(2)])
    assert set(np.unique(shards.batch(rng, 20))) == {1}
    shards.refresh()
    assert set(np.unique(shards.batch(rng, 20))) == {1, 2}


def on_the_host(folder, crop):
    return Shards(folder, crop)


def resident(folder, crop, *, room_bytes=10_000_000):
    # `cpu` is a device like any other.
    shards = Shards(folder, crop)
    return ResidentShards(shards, crop=crop, device="cpu", room_bytes=room_bytes)


BOTH = pytest.mark.parametrize("opened", [on_the_host, resident])


@BOTH
@pytest.mark.parametrize("crop", [64, SIDE])
def test_crops_keep_luma_chroma_and_truth_aligned(tmp_path, opened, crop):
    chroma = np.random.default_rng(0).integers(0, 256, (SIDE // 2, SIDE // 2))
    luma = chroma.repeat(2, axis=0).repeat(2, axis=1)
    pair = sample(luma, chroma, 255 - chroma)
    pair[1] = 255 - pair[1]
    for number in range(2):
        write_shard(tmp_path, number, [pair])
    batch = opened(tmp_path, crop).batch(random.Random(0), 24).numpy()
    assert batch.shape == (24, 2, crop * 3 // 2, crop)
    y, u, v = batch[:, 0, :crop], batch[:, 0, crop:, : crop // 2], batch[:, 0, crop:, crop // 2 :]
    for corner in [y[:, ::2, ::2], y[:, 1::2, ::2], y[:, ::2, 1::2], 255 - v]:
        np.testing.assert_array_equal(corner, u)
    np.testing.assert_array_equal(batch[:, 1], 255 - batch[:, 0])


@BOTH
def test_crops_are_turned_and_mirrored_every_way(tmp_path, opened):
    pair = flat(0).copy()
    pair[:, :SIDE, : SIDE // 2] = 100  # left half
    pair[:, : SIDE // 2, : SIDE // 2] = 200  # upper left quarter
    for number in range(2):
        write_shard(tmp_path, number, [pair])
    crops = opened(tmp_path, SIDE).batch(random.Random(0), 80)[:, 0, :SIDE].numpy()
    assert len({crop.tobytes() for crop in crops}) == 8


def test_device_and_host_turn_alike():
    for turns, mirrored in product(range(4), (False, True)):
        turned = np.rot90(np.arange(36).reshape(6, 6), turns)
        expected = turned[:, ::-1] if mirrored else turned
        steps = torch.tensor([_turned(turns, mirrored=mirrored)])
        places = _places(steps, torch.zeros(1, 2, dtype=int), side=6, stride=6)
        np.testing.assert_array_equal(places[0], expected)


def test_resident_crops_come_from_everywhere_in_the_sample(tmp_path):
    columns = np.arange(SIDE)[None].repeat(SIDE, axis=0)
    grey = np.zeros((SIDE // 2, SIDE // 2))
    for number in range(2):
        write_shard(tmp_path, number, [sample(columns, grey, grey)])
    luma = resident(tmp_path, 64).batch(random.Random(0), 400)[:, 0, :64].numpy()
    firsts = {int(crop.min()) for crop in luma}
    assert firsts == set(range(0, SIDE - 63, 2))


def test_newest_resident_shards_take_the_place_of_the_oldest(tmp_path):
    for number in range(3):
        write_shard(tmp_path, number, [flat(number)])
    room_bytes = 2 * 3 * SIDE * SIDE
    shards, rng = resident(tmp_path, 64, room_bytes=room_bytes), random.Random(0)
    assert set(np.unique(shards.batch(rng, 20))) == {1, 2}
    write_shard(tmp_path, 3, [flat(3)])
    shards.refresh()
    assert set(np.unique(shards.batch(rng, 20))) == {2, 3}


def test_room_without_place_for_a_sample_is_refused(tmp_path):
    for number in range(2):
        write_shard(tmp_path, number, [flat(number)])
    with pytest.raises(DataError, match=r"device_cache_gb: 1e-06 GB hold no sample of side 128"):
        resident(tmp_path, 64, room_bytes=1000)


def test_shards_of_two_sizes_are_not_kept_together(tmp_path):
    for number, side in enumerate((SIDE, SIDE, 64)):
        write_shard(tmp_path, number, [flat(number)[:, : side * 3 // 2, :side]])
    with pytest.raises(DataError, match="shards of 128 and of 64 samples a side cannot be kept"):
        resident(tmp_path, 64)


def test_planes_are_split_in_order():
    half = SIDE // 2
    levels = [np.full((SIDE, SIDE), 10), np.full((half, half), 20), np.full((half, half), 30)]
    batch = torch.from_numpy(np.stack([flat(51)[0], sample(*levels)[0]]))
    y, u, v = split_planes(batch)
    assert y.shape == (2, 1, SIDE, SIDE)
    assert u.shape == v.shape == (2, 1, SIDE // 2, SIDE // 2)
    assert (y[0] == 0.2).all()
    assert [float(plane[1].unique()) * 255 for plane in (y, u, v)] == pytest.approx([10, 20, 30])


def test_pictures_and_truths_are_told_apart():
    planes, truth = both_planes(np.stack([fringed(40), flat(128)]), "cpu")
    assert planes[0].std() > 0.05
    assert truth[0].std() == 0


def test_pairs_and_shards_are_mixed_by_their_share(tmp_path):
    for number in range(2):
        write_shard(tmp_path / "shards", number, [flat(0)])
    config = TrainConfig(
        shards=tmp_path / "shards",
        pairs=[write_pairs(tmp_path / "pairs", 3)],
        pairs_share=0.3,
        crop=64,
    )
    mixed = open_samples(config)
    assert isinstance(mixed, Mixed)
    assert [samples.shape[-1] for samples in mixed.validation] == [SIDE, 64]
    batch = mixed.batch(random.Random(0), 400).numpy()
    assert batch.shape == (400, 2, 96, 64)
    assert batch.any(axis=(1, 2, 3)).mean() == pytest.approx(0.3, abs=0.05)


def test_mixed_source_takes_up_new_shards(tmp_path):
    for number in range(2):
        write_shard(tmp_path, number, [flat(number)])
    mixed = Mixed([(Shards(tmp_path, 64), 1.0)])
    write_shard(tmp_path, 2, [flat(2)])
    mixed.refresh()
    assert 2 in mixed.batch(random.Random(0), 20)


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(DataError, match="give --shards DIR, --pairs DIR or both"):
        open_samples(TrainConfig())
