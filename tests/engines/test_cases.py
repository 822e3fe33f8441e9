"""Sets to judge on: pairs, photos, clips and simulated screens, read as they are."""

import av
import cv2
import numpy as np
import pytest
from fringed import HEIGHT, WIDTH, clip, fringed, truth
from vast_png import vast

from engines.evaluate.cases import (
    ClipCases,
    PairCases,
    PhotoCases,
    SimulatedCases,
    read_clip,
    read_picture,
)
from engines.pairs import PairsError


def write_picture(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])


def test_pairs_are_read_as_they_are(tmp_path):
    write_picture(tmp_path / "1_moire.png", fringed())
    write_picture(tmp_path / "1_gt.png", truth())
    (case,) = PairCases(tmp_path, None)
    assert case.name == "1_moire.png"
    np.testing.assert_array_equal(case.picture, fringed())
    np.testing.assert_array_equal(case.truth, truth())


def test_pairs_of_two_sizes_are_an_error(tmp_path):
    write_picture(tmp_path / "1_moire.png", fringed())
    write_picture(tmp_path / "1_gt.png", truth()[:50])
    with pytest.raises(PairsError, match=r"1_moire\.png is 130x96 but .*1_gt\.png is 130x50"):
        list(PairCases(tmp_path, None))


def test_limit_counts_pictures(tmp_path):
    for number in range(3):
        write_picture(tmp_path / f"{number}.png", truth())
    cases = PhotoCases(tmp_path, 2)
    assert len(cases) == len(list(cases)) == 2


def test_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(PairsError, match="no picture"):
        PhotoCases(tmp_path, None)
    with pytest.raises(PairsError, match="no such folder"):
        PhotoCases(tmp_path / "gone", None)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a picture", vast(cv2.imencode(".png", truth())[1].tobytes())],
    ids=["empty", "text", "vast"],
)
def test_file_that_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(PairsError, match=r"x\.png: cannot be decoded"):
        read_picture(path)


def write_clip(path, pictures):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


def test_clips_are_read_up_to_the_wanted_frames(tmp_path):
    write_clip(tmp_path / "a_moire.mkv", clip([5, 10, 15, 20]))
    write_clip(tmp_path / "a_gt.mkv", [truth()] * 3)
    (case,) = ClipCases(tmp_path, None, frames=9)
    assert case.clip.shape == case.truth.shape == (3, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(case.clip, clip([5, 10, 15]))
    assert len(read_clip(tmp_path / "a_moire.mkv", 2)) == 2


def test_file_that_is_no_clip_is_named(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"not a clip")
    with pytest.raises(PairsError, match=r"x\.mp4: cannot be decoded"):
        read_clip(path, 3)


def test_simulated_pictures_repeat_themselves():
    first, again = (next(iter(SimulatedCases(1))) for _ in range(2))
    assert first.picture.tobytes() == again.picture.tobytes()
    assert first.picture.shape == first.truth.shape
