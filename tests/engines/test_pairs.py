"""Pairs are found by the names that the published data sets use."""

import pytest

from engines.pairs import CLIPS, PairsError, find_pairs

SETS = {
    "LCDMoire": ("moire/000001.png", "clear/000001.png"),
    "FHDMi": ("source/src_00001.png", "target/tar_00001.png"),
    "UHDM": ("0001_moire.jpg", "0001_gt.jpg"),
    "UHDM in folders": ("train/0000/0003_moire.jpg", "train/0000/0003_gt.jpg"),
    "VDmoire": ("iphone/source/v1/00007.png", "iphone/target/v1/00007.png"),
    "TIP2018": (
        "source/image_test_part001_00000000_source.png",
        "target/image_test_part001_00000000_target.png",
    ),
    "spelled otherwise": ("Moire/A b.JPG", "GT/A b.png"),
}


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_naming_of_data_sets_is_known(tmp_path, names):
    make(tmp_path, *names)
    (pair,) = find_pairs(tmp_path)
    assert (pair.name, pair.moire, pair.clean) == (
        names[0],
        tmp_path / names[0],
        tmp_path / names[1],
    )


def test_pairs_come_in_the_order_of_their_names(tmp_path):
    make(tmp_path, *(f"{n}_{side}.png" for n in (10, 2, 33) for side in ("gt", "moire")))
    assert [pair.name for pair in find_pairs(tmp_path)] == [
        "10_moire.png",
        "2_moire.png",
        "33_moire.png",
    ]


def test_files_without_a_partner_are_left_out(tmp_path):
    make(tmp_path, "1_moire.png", "1_gt.png", "2_moire.png", "3_gt.png", "notes.png", "1_gt.txt")
    assert [pair.name for pair in find_pairs(tmp_path)] == ["1_moire.png"]


def test_last_telling_word_counts(tmp_path):
    make(tmp_path, "moire_data/source/1.png", "moire_data/target/1.png")
    (pair,) = find_pairs(tmp_path)
    assert pair.clean.parent.name == "target"


def test_words_inside_words_do_not_count(tmp_path):
    make(tmp_path, "resource_1.png", "mygt_1.png")
    with pytest.raises(PairsError, match=r"no pairs among 2 file\(s\)"):
        find_pairs(tmp_path)


def test_clips_are_paired_like_pictures(tmp_path):
    make(tmp_path, "talk_moire.mp4", "talk_gt.mkv", "talk_moire.png", "talk_gt.png")
    (pair,) = find_pairs(tmp_path, CLIPS)
    assert pair.clean.suffix == ".mkv"


def test_two_files_for_one_place_are_an_error(tmp_path):
    make(tmp_path, "1_gt.png", "1_gt.jpg", "1_moire.png")
    with pytest.raises(PairsError, match=r"1_gt\.jpg and 1_gt\.png are both the clean of a pair"):
        find_pairs(tmp_path)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(PairsError, match=r"gone: no such folder"):
        find_pairs(tmp_path / "gone")
