"""Display content: every kind draws, the same seed gives the same, scenes are functions of time."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.simulate.content import (
    CONTENTS,
    SCENES,
    TextRenderer,
    builtin_lettering,
    draw_content,
    scene,
)
from engines.simulate.content.draw import BLACK, WHITE, blend, box
from engines.simulate.content.text import StrokeLettering, set_block, set_line

MAY_BE_FLAT = {"plain", "gradient", "pattern"}
STANDS_STILL = {"static"}


def seeded(seed=1):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def font_folder(tmp_path_factory):
    # Pillow carries one typeface of its own, so that the test needs none on the machine.
    font = pytest.importorskip("PIL.ImageFont").load_default(16)
    folder = tmp_path_factory.mktemp("fonts")
    assert isinstance(font.path, io.BytesIO)
    (folder / "embedded.ttf").write_bytes(font.path.getvalue())
    return folder


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("size", [(128, 160), (33, 210), (200, 32)])
def test_every_kind_draws_at_every_shape(kind, size):
    picture = draw_content(seeded(), *size, kind=kind)
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous


@pytest.mark.parametrize("kind", sorted(set(CONTENTS) - MAY_BE_FLAT))
def test_kinds_with_detail_are_not_flat(kind):
    assert all(draw_content(seeded(s), 160, 160, kind=kind).std() > 1 for s in range(3))


@pytest.mark.parametrize("kind", CONTENTS)
def test_same_seed_draws_the_same_whatever_was_drawn_before(kind):
    first = draw_content(seeded(7), 96, 128, kind=kind)
    draw_content(seeded(8), 64, 64, kind=kind)
    assert np.array_equal(first, draw_content(seeded(7), 96, 128, kind=kind))


def test_seeds_draw_different_pictures():
    pictures = {draw_content(seeded(s), 64, 64).tobytes() for s in range(12)}
    assert len(pictures) >= 11  # two plain fields may agree


def test_drawing_by_weight_meets_bright_and_dark_screens():
    means = [draw_content(seeded(s), 64, 64).mean() for s in range(60)]
    assert min(means) < 70
    assert max(means) > 230
    assert 100 < np.mean(means) < 200


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'poster' is unknown; one of code, document"):
        draw_content(seeded(), 64, 64, kind="poster")


def test_too_small_content_is_refused():
    with pytest.raises(ValueError, match=r"20x64 display pixels: sides must be >= 32"):
        draw_content(seeded(), 64, 20)


def test_content_needs_neither_pillow_nor_torch():
    code = (
        "import sys\n"
        "sys.modules['PIL'] = None\n"
        "sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from engines.simulate.content import CONTENTS, draw_content, scene\n"
        "for kind in CONTENTS:\n"
        "    draw_content(np.random.default_rng(3), 64, 64, kind=kind)\n"
        "scene(np.random.default_rng(3), 96, 96).frame(0.5)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_blend_is_exact_at_both_ends_and_in_the_middle():
    view = np.full((1, 3, 3), 200, np.uint8)
    blend(view, np.array([[0, 128, 255]], np.uint8), (0, 100, 255))
    assert view[0].tolist() == [[200, 200, 200], [100, 150, 228], [0, 100, 255]]


def test_blend_cuts_what_reaches_beyond_the_view():
    view = np.zeros((4, 4, 3), np.uint8)
    blend(view[2:, 3:], np.full((9, 9), 255, np.uint8), WHITE)
    assert view[..., 0].sum() == 2 * 255


@pytest.mark.parametrize("radius", [0, 1, 5, 99])
def test_box_fills_its_middle_and_spares_round_corners(radius):
    view = np.full((20, 30, 3), 255, np.uint8)
    box(view, BLACK, radius=radius)
    assert view[10].max() == 0 if radius < 10 else view[10, 15].max() == 0
    assert (view[0, 0, 0] > 128) == (radius > 1)


@pytest.mark.parametrize("lettering", [builtin_lettering(), StrokeLettering()], ids=["now", "cv4"])
def test_words_of_one_size_share_their_height_and_hold_ink(lettering):
    for face in lettering.faces:
        bank = lettering.bank(face, 14)
        assert {word.shape[0] for word in bank.words} == {bank.height}
        assert all(word.max() > 60 for word in bank.words)


def test_words_do_not_depend_on_what_was_set_before():
    first, second = StrokeLettering(), StrokeLettering()
    second.bank(second.faces[1], 30)
    face = first.faces[0]
    one, two = first.bank(face, 16), second.bank(face, 16)
    assert all(np.array_equal(a, b) for a, b in zip(one.words, two.words, strict=True))


def test_line_keeps_its_words_whole_and_in_order():
    bank = StrokeLettering().bank(StrokeLettering().faces[0], 12)
    line = set_line(seeded(), bank, 200)
    edges = [edge for span in line.spans for edge in span]
    assert edges == sorted(edges)
    assert edges[-1] <= 200 == line.mask.shape[1]


@pytest.mark.parametrize(("height", "width"), [(0, 50), (3, 50), (50, 0), (50, 2)])
def test_block_too_small_for_a_word_stays_empty(height, width):
    bank = StrokeLettering().bank(StrokeLettering().faces[0], 12)
    block = set_block(seeded(), bank, height, width)
    assert block.shape == (height, width)
    assert not block.any()


def test_real_fonts_draw_text(font_folder):
    text = TextRenderer(font_folder)
    assert [face.script for face in text.faces] == ["ascii"]
    page = draw_content(seeded(), 128, 128, text=text, kind="document")
    assert not np.array_equal(page, draw_content(seeded(), 128, 128, kind="document"))


def test_folder_without_fonts_says_what_to_install(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(FileNotFoundError, match=r"no usable font .* install some"):
        TextRenderer(tmp_path)


@pytest.mark.parametrize("kind", SCENES)
def test_scene_is_a_function_of_time(kind):
    shown = scene(seeded(5), 120, 160, kind=kind)
    times = [0.0, 3.7, 0.4, 61.0]
    frames = [shown.frame(t).copy() for t in times]
    again = scene(seeded(5), 120, 160, kind=kind)
    for t, frame in reversed(list(zip(times, frames, strict=True))):
        assert frame.shape == (120, 160, 3)
        assert frame.dtype == np.uint8
        assert np.array_equal(frame, again.frame(t))


@pytest.mark.parametrize("kind", sorted(set(SCENES) - STANDS_STILL))
def test_moving_scenes_move(kind):
    for seed in range(3):
        shown = scene(seeded(seed), 120, 160, kind=kind)
        assert len({shown.frame(t).tobytes() for t in np.arange(0, 12, 0.7)}) > 1


def test_static_scene_returns_the_same_array():
    shown = scene(seeded(), 96, 96, kind="static")
    assert shown.frame(0.0) is shown.frame(9.0)


def test_film_holds_its_picture_between_its_own_frames():
    shown = scene(seeded(3), 96, 96, kind="film")
    start = 1.0 / shown.frames_per_s
    assert np.array_equal(shown.frame(1.01 * start), shown.frame(1.9 * start))


def test_scene_refuses_unknown_kind_and_small_size():
    with pytest.raises(ValueError, match=r"'dance' is unknown; one of static"):
        scene(seeded(), 100, 100, kind="dance")
    with pytest.raises(ValueError, match=r"100x50 display pixels: both sides must be >= 96"):
        scene(seeded(), 50, 100)
