"""Photographs for the screen: cut by seed; what cannot be used is left out and told of."""

import logging

import cv2
import numpy as np
import pytest
from vast_png import vast

from engines.errors import DemoireError
from engines.simulate.content import PhotoLibrary, draw_content


def seeded(seed=1):
    return np.random.default_rng(seed)


def photo(height=300, width=400, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_photo(path, **size):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), photo(**size))
    return path


def test_photo_library_cuts_to_the_size_asked(tmp_path):
    write_photo(tmp_path / "deep" / "one.png")
    library = PhotoLibrary(tmp_path)
    assert len(library) == 1
    for size in [(64, 64), (500, 90), (8, 700)]:
        assert library.draw(seeded(), *size).shape == (*size, 3)


def test_photo_library_repeats_itself_by_seed(tmp_path):
    for name in "abc":
        write_photo(tmp_path / f"{name}.png", seed=ord(name))
    first, second = PhotoLibrary(tmp_path), PhotoLibrary(tmp_path, cache_bytes=1)
    second.draw(seeded(9), 50, 50)
    assert np.array_equal(first.draw(seeded(4), 80, 90), second.draw(seeded(4), 80, 90))


def test_photo_library_scales_large_pictures_down(tmp_path):
    path = write_photo(tmp_path / "large.png", height=150, width=600)
    library = PhotoLibrary(tmp_path, longest=400)
    assert library.paths == [path]
    assert library._load(path).shape == (100, 400, 3)


def test_photo_library_keeps_one_of_several_sizes(tmp_path):
    for name, width in [("800x300", 800), ("500x300", 500), ("320x300", 320)]:
        write_photo(tmp_path / f"{name}.png", width=width)
    assert [path.stem for path in PhotoLibrary(tmp_path, longest=400).paths] == ["500x300"]
    assert [path.stem for path in PhotoLibrary(tmp_path, longest=900).paths] == ["800x300"]


def test_photo_library_leaves_broken_files_out_with_a_warning(tmp_path, caplog):
    write_photo(tmp_path / "good.png")
    (tmp_path / "broken.jpg").write_bytes(b"not a picture" * 1000)
    library = PhotoLibrary(tmp_path)
    with caplog.at_level(logging.WARNING):
        for index in range(12):
            library.draw(seeded(index), 40, 40)
    assert [record.message.count("broken.jpg: cannot be decoded") for record in caplog.records] == [
        1
    ]


def test_photo_library_leaves_out_files_that_are_gone_or_beyond_decoding(tmp_path, caplog):
    good, gone, huge = (write_photo(tmp_path / f"{name}.png") for name in ("good", "gone", "huge"))
    huge.write_bytes(vast(huge.read_bytes()))
    library = PhotoLibrary(tmp_path)
    gone.unlink()
    for index in range(20):
        library.draw(seeded(index), 40, 40)
    first, second = sorted(record.getMessage() for record in caplog.records)
    assert first == f"{gone}: cannot be read: No such file or directory; left out"
    assert second.startswith(f"{huge}: cannot be decoded: ")
    assert list(library._cache) == [good]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a picture" * 1000, "cannot be decoded as a picture"),
        (cv2.imencode(".png", photo(60, 300))[1].tobytes(), "300x60 is too small for content"),
    ],
)
def test_photo_library_without_one_usable_picture_says_where_why_and_what_to_do(
    tmp_path, content, reason
):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DemoireError) as raised:
        PhotoLibrary(tmp_path).draw(seeded(), 40, 40)
    said = str(raised.value)
    assert said.startswith(f"{tmp_path}: none of 2 picture(s) can be used, the first tried was ")
    assert f".png: {reason}" in said
    assert said.endswith("; name a folder with photographs of 96x96 pixels or more")


def test_photo_library_needs_a_folder_with_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \.jpg, \.png or \.webp picture"):
        PhotoLibrary(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone: no such folder"):
        PhotoLibrary([tmp_path, tmp_path / "gone"])


def test_photographs_are_drawn_into_content(tmp_path):
    write_photo(tmp_path / "one.png")
    library = PhotoLibrary(tmp_path)
    with_photos = [
        draw_content(seeded(s), 64, 64, kind="picture", photos=library) for s in range(6)
    ]
    without = [draw_content(seeded(s), 64, 64, kind="picture") for s in range(6)]
    assert any(not np.array_equal(a, b) for a, b in zip(with_photos, without, strict=True))
