"""Real pairs: crops of both at the same place, a held-out part, and bounded memory."""

import random

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("PIL", reason="needs the extra `train`")

from PIL import Image
from train_samples import write_pair, write_pairs

from engines.pairs import find_pairs
from engines.train.data import DataError
from engines.train.paired import PairFolder, Pool, read_pair

ENOUGH = 1_000_000_000
PAIR_BYTES = 2 * 96 * 128 * 3


def opened(folder, *, crop=64, held_out=10, cache_bytes=ENOUGH):
    return PairFolder(folder, crop=crop, held_out=held_out, cache_bytes=cache_bytes)


def test_batches_look_like_those_of_shards(tmp_path):
    batch = opened(write_pairs(tmp_path, 3)).batch(random.Random(0), 5).numpy()
    assert batch.shape == (5, 2, 96, 64)
    assert batch.dtype == np.uint8


def test_both_pictures_are_cut_at_the_same_place(tmp_path):
    batch = opened(write_pairs(tmp_path, 3)).batch(random.Random(1), 20).numpy().astype(int)
    lifted = (batch[:, 0] - batch[:, 1])[:, :64]
    # The picture is its truth 20 levels brighter; 17 are left of them in the limited range.
    assert set(np.unique(lifted)) <= {16, 17, 18, 19, 20, 21}


def test_crops_are_turned_and_mirrored_every_way(tmp_path):
    write_pairs(tmp_path, 2)
    corner = np.zeros((64, 64, 3), np.uint8)
    corner[:32] = 100
    corner[:32, :32] = 200
    for path in tmp_path.iterdir():
        cv2.imwrite(str(path), corner)
    luma = opened(tmp_path).batch(random.Random(0), 200)[:, 0, :64].numpy()
    assert len({crop.tobytes() for crop in luma}) == 2 * 8  # in full range and in limited range


def test_every_so_manieth_pair_is_kept_and_never_trained_on(tmp_path):
    for number in range(7):
        write_pair(tmp_path, f"{number}", level=10 + 30 * number)
    pairs = opened(tmp_path, held_out=3)
    kept, trained = {10, 100, 190}, {40, 70, 130, 160}

    def truths(batch):
        """Grey levels in full range."""
        luma, chroma = batch[:, 1, :64], batch[:, 1, 64:]
        assert (abs(chroma.astype(int) - 128) <= 1).all()
        return set(np.unique(luma)) & (kept | trained)

    assert not truths(pairs.validation[0]) & trained
    assert len(pairs.validation[0]) == 3
    assert truths(pairs.batch(random.Random(0), 80).numpy()) == trained


def test_held_out_samples_are_the_same_each_time(tmp_path):
    write_pairs(tmp_path, 4)
    first, second = (opened(tmp_path, held_out=2).validation[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_at_most_64_pairs_are_kept(tmp_path):
    write_pairs(tmp_path, 130, height=64, width=64)
    assert len(opened(tmp_path, held_out=2).validation[0]) == 44  # every third


@pytest.mark.parametrize("held", [0, 2, 5])
def test_memory_for_decoded_pictures_is_bounded_and_all_have_their_turn(tmp_path, held):
    paths = find_pairs(write_pairs(tmp_path, 6))
    read = []

    def reading(pair):
        read.append(pair.name)
        return read_pair(pair)

    pool, rng = Pool(paths, reading, limit_bytes=held * PAIR_BYTES), random.Random(0)
    for _ in range(200):
        pool.take(rng)
        assert pool.held_bytes <= max(held, 1) * PAIR_BYTES
    assert len(set(read)) == 6
    assert len(read) < 60  # each is used several times before the next is decoded


def test_pictures_that_fit_are_decoded_once(tmp_path):
    read = []
    paths = find_pairs(write_pairs(tmp_path, 3))
    pool = Pool(paths, lambda pair: read.append(pair) or read_pair(pair), limit_bytes=ENOUGH)
    rng = random.Random(0)
    for _ in range(50):
        pool.take(rng)
    assert len(read) == 3


def test_picture_smaller_than_a_crop_is_named(tmp_path):
    write_pair(write_pairs(tmp_path, 2), "small", height=60)
    with pytest.raises(DataError, match=r"small_moire\.png: 128x60 is smaller than a crop of 64"):
        opened(tmp_path)


def test_truth_of_another_size_is_named(tmp_path):
    write_pairs(tmp_path, 2)
    cv2.imwrite(str(tmp_path / "01_gt.png"), np.zeros((96, 126, 3), np.uint8))
    with pytest.raises(DataError, match=r"01_moire\.png: is 128x96, but 01_gt\.png is 126x96"):
        opened(tmp_path)


def save_on_its_side(path, *, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    with Image.open(path) as picture:
        picture.rotate(90, expand=True).save(path.with_suffix(".jpg"), exif=exif)
    path.unlink()


def test_truth_that_is_stored_on_its_side_is_put_upright(tmp_path):
    save_on_its_side(write_pairs(tmp_path, 2) / "01_gt.png", orientation=6)
    assert opened(tmp_path).batch(random.Random(0), 4).shape == (4, 2, 96, 64)


def test_truth_that_lies_on_its_side_is_named(tmp_path):
    save_on_its_side(write_pairs(tmp_path, 2) / "01_gt.png", orientation=1)
    with pytest.raises(DataError, match=r"01_moire\.png: is 128x96, but 01_gt\.jpg is 96x128"):
        opened(tmp_path).batch(random.Random(0), 1)


def test_file_that_is_no_picture_is_named(tmp_path):
    (write_pairs(tmp_path, 2) / "01_gt.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"01_gt\.png: cannot be read"):
        opened(tmp_path)


def test_picture_that_breaks_off_is_named(tmp_path):
    path = write_pairs(tmp_path, 2) / "01_gt.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"01_gt\.png: cannot be decoded"):
        opened(tmp_path).batch(random.Random(0), 1)


def test_single_pair_is_not_enough(tmp_path):
    with pytest.raises(DataError, match="only one pair"):
        opened(write_pairs(tmp_path, 1))
