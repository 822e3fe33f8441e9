"""The training loop: what it reads, what it writes, and that a run goes on where it stopped."""

import csv
import random

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch

from engines.models import MODELS, load_network
from engines.train.loop import (
    Shards,
    TrainConfig,
    Training,
    clean,
    copy_smaller,
    recolour,
    split_planes,
    squeeze,
)

SIDE = 128
TINY = {"analysis": 20, "widths": (8,), "depths": (1,)}


def write_shard(folder, number, samples):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"shard-{number:05d}.npy", np.stack(samples))


def sample(luma, u, v):
    """One picture that is its own truth, (2, 3/2 SIDE, SIDE)."""
    planes = np.concatenate([luma, np.concatenate([u, v], axis=1)]).astype(np.uint8)
    return np.stack([planes, planes])


def flat(level):
    chroma = np.full((SIDE // 2, SIDE // 2), level)
    return sample(np.full((SIDE, SIDE), level), chroma, chroma)


def fringed(amplitude):
    """Grey whose luma ripples in the picture but not in the truth."""
    pair = flat(128).copy()
    wave = amplitude * np.sin(np.arange(SIDE) / 3)
    pair[0, :SIDE] = np.rint(128 + wave)
    return pair


@pytest.fixture
def shards(tmp_path):
    """Three shards with strong, weak and no moiré in each."""
    folder = tmp_path / "shards"
    for number in range(3):
        write_shard(folder, number, [fringed(amplitude) for amplitude in (60, 50, 8, 5, 0, 0)])
    return Shards(folder)


@pytest.fixture
def start(tmp_path, shards, monkeypatch):
    """Return a function that starts or resumes a run of a tiny network."""
    monkeypatch.setitem(MODELS, "tiny", TINY)

    def start(*, validate_every=2, **options):
        config = TrainConfig(
            model="tiny", batch=2, crop=64, validate_every=validate_every, **options
        )
        return Training(tmp_path / "run", shards, config, "cpu")

    return start


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_shard_is_not_enough(tmp_path):
    write_shard(tmp_path, 0, [flat(0)])
    with pytest.raises(FileNotFoundError, match=r"needs two shards or more; see engines\.train"):
        Shards(tmp_path)


def test_first_shard_is_kept_for_validation(tmp_path):
    for number in range(3):
        write_shard(tmp_path, number, [flat(number)])
    shards, rng = Shards(tmp_path), random.Random(0)
    assert (shards.validation == 0).all()
    assert set(np.unique(shards.batch(rng, 20, 64))) == {1, 2}


def test_shards_written_since_are_taken_up(tmp_path):
    for number in range(2):
        write_shard(tmp_path, number, [flat(number)])
    shards, rng = Shards(tmp_path), random.Random(0)
    write_shard(tmp_path, 2, [flat(2)])
    assert set(np.unique(shards.batch(rng, 20, 64))) == {1}
    shards.refresh()
    assert set(np.unique(shards.batch(rng, 20, 64))) == {1, 2}


@pytest.mark.parametrize("crop", [64, SIDE])
def test_crops_keep_luma_chroma_and_truth_aligned(tmp_path, crop):
    chroma = np.random.default_rng(0).integers(0, 256, (SIDE // 2, SIDE // 2))
    luma = chroma.repeat(2, axis=0).repeat(2, axis=1)
    pair = sample(luma, chroma, 255 - chroma)
    pair[1] = 255 - pair[1]
    for number in range(2):
        write_shard(tmp_path, number, [pair])
    batch = Shards(tmp_path).batch(random.Random(0), 24, crop)
    assert batch.shape == (24, 2, crop * 3 // 2, crop)
    y, u, v = batch[:, 0, :crop], batch[:, 0, crop:, : crop // 2], batch[:, 0, crop:, crop // 2 :]
    for corner in [y[:, ::2, ::2], y[:, 1::2, ::2], y[:, ::2, 1::2], 255 - v]:
        np.testing.assert_array_equal(corner, u)
    np.testing.assert_array_equal(batch[:, 1], 255 - batch[:, 0])


def test_crops_are_turned_and_mirrored_every_way(tmp_path):
    pair = flat(0).copy()
    pair[:, :SIDE, : SIDE // 2] = 100  # left half
    pair[:, : SIDE // 2, : SIDE // 2] = 200  # upper left quarter
    for number in range(2):
        write_shard(tmp_path, number, [pair])
    crops = Shards(tmp_path).batch(random.Random(0), 80, SIDE)[:, 0, :SIDE]
    assert len({crop.tobytes() for crop in crops}) == 8


def test_planes_are_split_in_order():
    batch = torch.from_numpy(np.stack([flat(51)[0], sample(*_three_levels())[0]]))
    y, u, v = split_planes(batch)
    assert y.shape == (2, 1, SIDE, SIDE)
    assert u.shape == v.shape == (2, 1, SIDE // 2, SIDE // 2)
    assert (y[0] == 0.2).all()
    assert [float(plane[1].unique()) * 255 for plane in (y, u, v)] == pytest.approx([10, 20, 30])


def _three_levels():
    half = SIDE // 2
    return np.full((SIDE, SIDE), 10), np.full((half, half), 20), np.full((half, half), 30)


@pytest.mark.parametrize("factor", [1.5, 2.7, 4.0])
def test_smaller_copies_lose_the_finest_pattern_only(factor):
    grid = torch.zeros(1, 1, 64, 96)
    grid[..., ::2] = 1
    hills = torch.sin(torch.arange(96) / 12).expand(1, 1, 64, 96)
    flat_grid, same_hills = copy_smaller((grid, hills), factor)
    assert flat_grid.shape == grid.shape
    assert flat_grid.std() < 0.5 * grid.std()
    torch.testing.assert_close(same_hills[..., 8:-8], hills[..., 8:-8], atol=0.1, rtol=0)


@pytest.mark.parametrize("share", ["copied", "squeezed", "recoloured"])
@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_steps_on_varied_pictures_run_like_others(start, share, chance):
    training = start(steps=2, **{share: chance})
    training.run(minutes=5)
    assert np.isfinite(training.best)


def test_run_writes_everything_that_it_promises(start, tmp_path):
    start(steps=4).run(minutes=5)
    run = tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == [
        "best.safetensors",
        "last.pt",
        "log.csv",
        "sheet.png",
    ]
    assert [row["step"] for row in rows(run)] == ["2", "4"]
    assert all(np.isfinite(float(value)) for row in rows(run) for value in row.values())
    assert cv2.imread(str(run / "sheet.png")).shape[1] == 2 * 3 * SIDE  # two of input|output|truth
    network = load_network(run / "best.safetensors")
    assert network.config.analysis == TINY["analysis"]


def test_run_goes_on_at_its_step_with_its_weights(start, tmp_path):
    first = start(steps=4)
    first.run(minutes=5)
    second = start(steps=6)
    assert second.step == 4
    assert second.best == first.best
    for name, weights in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], weights)
    second.run(minutes=5)
    assert [row["step"] for row in rows(tmp_path / "run")] == ["2", "4", "6"]


def test_run_whose_time_is_over_saves_before_it_ends(start, tmp_path):
    start(steps=1000).run(minutes=0)
    assert start(steps=1000).step == 1


def test_run_can_start_from_the_weights_of_another(start, tmp_path):
    start(steps=2).run(minutes=5)
    other = tmp_path / "run" / "best.safetensors"
    (tmp_path / "run" / "last.pt").unlink()
    training = start(steps=2)
    training.start_from(str(other))
    for name, weights in load_network(other).state_dict().items():
        assert torch.equal(training.network.state_dict()[name], weights)
        assert torch.equal(training.average.state_dict()[name], weights)


def test_steps_take_fringes_away(start, shards):
    training = start(steps=60, validate_every=100, rate=6e-2, copied=0, recoloured=0, squeezed=0)

    @torch.no_grad()
    def error():
        batch = torch.from_numpy(np.array(shards.validation))
        outputs = clean(training.network, split_planes(batch[:, 0]))
        return float((outputs[0] - split_planes(batch[:, 1])[0]).square().mean())

    before = error()
    training.run(minutes=5)
    assert error() < 0.5 * before


def test_squeezing_shrinks_every_plane_by_its_axis():
    planes = split_planes(torch.from_numpy(fringed(40)))
    y, u, v = squeeze(planes, SIDE // 2, SIDE // 4)
    assert y.shape == (2, 1, SIDE // 2, SIDE // 4)
    assert u.shape == v.shape == (2, 1, SIDE // 4, SIDE // 8)
    torch.testing.assert_close(y.mean(), planes[0].mean())


def test_recolouring_changes_picture_and_truth_alike():
    planes = split_planes(torch.randint(0, 256, (2, 96, 64), dtype=torch.uint8))
    changed, truth = recolour(planes, planes, random.Random(3))
    for one, other, before in zip(changed, truth, planes, strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, before)


def test_recolouring_leaves_grey_grey():
    grey = (torch.rand(1, 1, 8, 8), torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 4, 4), 0.5))
    changed, _ = recolour(grey, grey, random.Random(4))
    assert torch.equal(changed[1], grey[1])
    assert torch.equal(changed[2], grey[2])
