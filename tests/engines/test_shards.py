"""Training data: code values as the standards give them, shards that repeat themselves."""

import subprocess
import sys

import numpy as np
import pytest

from engines.simulate.content import TextRenderer
from engines.train.shards import SIZE, simulate_sample, to_planes, write_shards, writing_shards

BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def codes(colour, weights, *, full_range):
    """Return Y, U and V of a patch of one colour."""
    patch = np.full((4, 6, 3), colour, np.uint8)
    planes = to_planes(patch, weights=weights, full_range=full_range)
    assert planes.shape == (6, 6)
    assert planes.dtype == np.uint8
    parts = planes[:4], planes[4:, :3], planes[4:, 3:]
    assert all(part.min() == part.max() for part in parts)
    return [int(part[0, 0]) for part in parts]


@pytest.mark.parametrize("weights", [BT601, BT709])
@pytest.mark.parametrize(("full_range", "levels"), [(False, (16, 126, 235)), (True, (0, 128, 255))])
def test_grey_has_no_chroma(weights, full_range, levels):
    for grey, level in zip((0, 128, 255), levels, strict=True):
        assert codes((grey,) * 3, weights, full_range=full_range) == [level, 128, 128]


@pytest.mark.parametrize(
    ("weights", "full_range", "colour", "wanted"),
    [
        (BT601, False, RED, [81, 90, 240]),
        (BT601, False, GREEN, [144, 54, 34]),  # 145 less a rounding of 0.5
        (BT601, False, BLUE, [41, 240, 110]),
        (BT601, True, RED, [76, 85, 255]),
        (BT709, False, RED, [63, 102, 240]),
        (BT709, False, GREEN, [173, 42, 26]),
        (BT709, False, BLUE, [32, 240, 118]),
    ],
)
def test_primaries_have_the_codes_of_the_standards(weights, full_range, colour, wanted):
    found = codes(colour, weights, full_range=full_range)
    assert np.abs(np.subtract(found, wanted)).max() <= 1


def test_chroma_is_the_mean_of_its_four_pixels():
    picture = np.full((2, 2, 3), 128, np.uint8)
    picture[0, 0] = (228, 128, 128)
    mixed = to_planes(picture, weights=BT601, full_range=True)
    single = codes((228, 128, 128), BT601, full_range=True)
    assert mixed[2, 1] - 128 == pytest.approx((single[2] - 128) / 4, abs=0.5)


def test_samples_repeat_themselves_by_seed():
    first, again, other = (simulate_sample(seed, None, None) for seed in (3, 3, 4))
    assert first.shape == (2, SIZE * 3 // 2, SIZE)
    assert first.dtype == np.uint8
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_some_samples_are_to_be_left_alone():
    # Seeds drawn apart: the first draw says which kind a sample is.
    kinds = {seed: np.random.default_rng(seed).random() for seed in range(40)}
    recording = min(kinds, key=kinds.get)
    filmed = max(kinds, key=kinds.get)
    for seed, same in [(recording, True), (filmed, False)]:
        picture, truth = simulate_sample(seed, None, None)
        assert np.array_equal(picture, truth) is same


@pytest.fixture(scope="module")
def fonts():
    pytest.importorskip("PIL")
    try:
        return TextRenderer()
    except FileNotFoundError:
        pytest.skip("this machine has no fonts")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, fonts):
    path = tmp_path_factory.mktemp("runs") / "shards"
    write_shards(path, first=5, count=2, samples=1, photo_folders=[], workers=2)
    return path


def test_shards_hold_the_samples_of_their_seeds(folder, fonts):
    assert sorted(file.name for file in folder.iterdir()) == ["shard-00005.npy", "shard-00006.npy"]
    for seed in (5, 6):  # one sample a shard
        shard = np.load(folder / f"shard-{seed:05d}.npy", mmap_mode="r")
        np.testing.assert_array_equal(shard, simulate_sample(seed, None, fonts)[None])


def test_existing_shards_are_not_written_again(tmp_path):
    path = tmp_path / "shard-00002.npy"
    path.write_bytes(b"mine")
    write_shards(tmp_path, first=2, count=1, samples=1, photo_folders=[], workers=1)
    assert path.read_bytes() == b"mine"


def test_error_of_a_worker_is_raised_and_leaves_no_shard(tmp_path, fonts):
    target = tmp_path / "shards"
    with pytest.raises(FileNotFoundError, match=r"gone: no such folder"):
        write_shards(
            target,
            first=0,
            count=3,
            samples=1,
            photo_folders=[tmp_path / "gone"],
            workers=1,
        )
    assert not list(target.iterdir())


def test_writing_is_told_of_step_by_step_and_may_be_left_early(tmp_path):
    steps = writing_shards(tmp_path, [0, 1], samples=2, photo_folders=[], workers=1)
    assert [next(steps) for _ in range(3)] == [0, 0, 1]
    steps.close()
    assert [file.name for file in tmp_path.iterdir()] == ["shard-00000.npy"]


def test_another_seed_gives_other_samples(tmp_path, fonts):
    write_shards(tmp_path, first=3, count=1, samples=1, photo_folders=[], workers=1, seed=2)
    (sample,) = np.load(tmp_path / "shard-00003.npy")
    np.testing.assert_array_equal(sample, simulate_sample((2 << 32) + 3, None, fonts))


def test_shards_can_be_made_without_torch():
    code = "import sys, engines.train.shards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
