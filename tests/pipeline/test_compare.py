from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from engines.engine import CHROMA_SHIFT, PictureFormat
from pipeline.frame import ColourTags, Frame
from pipeline.media import SourceInfo, pixel_format_name
from pipeline.stages.compare import WIPE_PERIOD_S, compare, compared, compared_info

BEFORE, AFTER = 10, 20


def flat(picture, code):
    return tuple(np.full(shape, code, picture.dtype) for shape in picture.plane_shapes)


def frame_of(layout="420", *, width=64, height=48, bits=8, pts=0, colour_range=1):
    picture = PictureFormat(layout=layout, bits=bits, width=width, height=height)
    return Frame(
        planes=flat(picture, AFTER),
        before=flat(picture, BEFORE),
        format=picture,
        pixel_format=pixel_format_name(picture),
        pts=pts,
        time_base=Fraction(1, 1000),
        colour=ColourTags(range=colour_range),
    )


@pytest.mark.parametrize(("layout", "bits"), list(product(CHROMA_SHIFT, [8, 10])))
def test_split_shows_before_on_the_left_and_after_on_the_right(layout, bits):
    shown = compared(frame_of(layout, bits=bits), "split")
    for plane in shown.planes:
        middle = plane.shape[1] // 2
        assert (plane[:, : middle - 2] == BEFORE).all()
        assert (plane[:, middle + 2 :] == AFTER).all()


def test_picture_keeps_its_size_and_time():
    frame = frame_of(pts=40)
    shown = compared(frame, "split")
    assert (shown.format, shown.pts, shown.before) == (frame.format, 40, ())


def test_side_shows_both_whole():
    shown = compared(frame_of(width=8, height=6), "side")
    assert (shown.format.width, shown.format.height) == (16, 6)
    for plane in shown.planes:
        half = plane.shape[1] // 2
        assert (plane[:, :half] == BEFORE).all()
        assert (plane[:, half:] == AFTER).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (5, 3), (17, 33), (63, 31)])
@pytest.mark.parametrize("kind", ["split", "side", "wipe"])
@pytest.mark.parametrize("layout", CHROMA_SHIFT)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_every_sample_is_one_of_the_inputs_or_the_divider(size, kind, layout, rotation):
    width, height = size
    shown = compared(frame_of(layout, width=width, height=height), kind, rotation=rotation)
    for plane in shown.planes:
        assert set(np.unique(plane)) <= {BEFORE, AFTER, 235, 255, 128}


@pytest.mark.parametrize(
    ("layout", "bits", "colour_range", "codes"),
    [
        ("420", 8, 1, (235, 128, 128)),
        ("420", 10, 1, (940, 512, 512)),
        ("444", 8, 2, (255, 128, 128)),
        ("gbr", 8, 1, (255, 255, 255)),
        ("gray", 16, 2, (65535,)),
    ],
)
def test_divider_is_white_in_every_format(layout, bits, colour_range, codes):
    shown = compared(frame_of(layout, bits=bits, colour_range=colour_range), "split")
    assert tuple(plane[0, plane.shape[1] // 2] for plane in shown.planes) == codes


@pytest.mark.parametrize(
    ("rotation", "axis", "first"),
    [(0, 1, BEFORE), (90, 0, BEFORE), (180, 1, AFTER), (270, 0, AFTER)],
)
@pytest.mark.parametrize("kind", ["split", "side"])
def test_before_is_on_the_viewers_left_of_a_turned_picture(kind, rotation, axis, first):
    luma = compared(frame_of(), kind, rotation=rotation).planes[0]
    viewed = np.rot90(luma, k=rotation // 90)
    assert (viewed[:, 0] == BEFORE).all()
    assert (viewed[:, -1] == AFTER).all()
    assert luma.take(0, axis=axis)[0] == first


def test_wipe_starts_in_the_middle_and_swings_both_ways():
    def before_share(share_of_period):
        pts = round(1000 * WIPE_PERIOD_S * share_of_period)
        line = compared(frame_of(width=640, pts=pts), "wipe").planes[0][0]
        return (line == BEFORE).mean()

    shares = [before_share(moment) for moment in (0, 1 / 8, 1 / 4, 3 / 4)]
    assert shares == pytest.approx([0.5, 0.85, 1, 0], abs=0.02)


def test_alpha_stays_beside_its_picture():
    frame = frame_of("gbr", width=4, height=2)
    alpha = np.arange(8, dtype=np.uint8).reshape(2, 4)
    with_alpha = Frame(**{**vars(frame), "alpha": (alpha,)})
    (shown,) = compared(with_alpha, "side").alpha
    assert np.array_equal(shown, np.hstack([alpha, alpha]))
    assert compared(with_alpha, "split").alpha == (alpha,)


def test_stage_keeps_order_and_leaves_inputs_alone():
    frames = [frame_of(pts=pts) for pts in range(5)]
    shown = list(compare("split")(iter(frames)))
    assert [frame.pts for frame in shown] == list(range(5))
    assert all((frame.planes[0] == AFTER).all() for frame in frames)


def test_frame_without_its_past_is_refused():
    frame = frame_of()
    bare = Frame(**{**vars(frame), "before": ()})
    with pytest.raises(ValueError, match="does not carry its planes from before"):
        compared(bare, "split")


@pytest.mark.parametrize(("rotation", "size"), [(0, (128, 48)), (90, (64, 96)), (-90, (64, 96))])
def test_sink_is_told_the_size_of_compared_frames(rotation, size):
    info = SourceInfo(
        url="x",
        width=64,
        height=48,
        pixel_format="yuv420p",
        time_base=Fraction(1, 1000),
        rotation=rotation,
    )
    told = compared_info(info, "side")
    assert (told.width, told.height) == size
    shown = compared(frame_of(), "side", rotation=rotation).format
    assert (shown.width, shown.height) == size
    assert compared_info(info, "wipe") is info
