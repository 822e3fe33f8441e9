"""Pixel formats and what is known about an input."""

import gc
from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from media_files import picture

from engines.engine import PictureFormat
from pipeline.errors import SourceError
from pipeline.media import (
    SourceInfo,
    as_fraction,
    picture_format,
    pixel_format_name,
    planar_sibling,
    split_name,
)
from pipeline.sinks.picture import wrap
from pipeline.sources import probe
from pipeline.sources.picture import Unpacker, plane_views

PLANAR = ["gray", "gray10le", "gray16le", "yuv420p", "yuv420p10le", "yuv422p12le", "yuv444p"]
PLANAR += ["yuv444p16le", "gbrp", "gbrp9le", "gbrp14le", "gbrp16le"]
# A packed format stores exactly what its planar sibling does, so there and back is bit-exact.
PACKED = ["nv12", "nv21", "nv16", "nv24", "nv42", "yuyv422", "uyvy422", "yvyu422", "vyu444"]
PACKED += ["p010le", "p010be", "p012le", "p016le", "p210le", "p216le", "p410le", "p416le"]
PACKED += ["y210le", "y212le", "xv30le", "xv36le", "rgb24", "bgr24", "rgb0", "0bgr", "rgba"]
PACKED += ["bgra", "argb", "abgr", "rgb48le", "rgb48be", "rgba64le", "x2rgb10le", "ayuv64le"]
PACKED += ["yuv420p10be", "gbrp12be", "gray16be"]


@pytest.mark.parametrize("name", PLANAR)
def test_picture_format_and_name_are_inverse(name):
    assert pixel_format_name(picture_format(name, 64, 48)) == name


@pytest.mark.parametrize("name", ["yuva420p", "yuva444p10le", "gbrap", "gbrap16le"])
def test_alpha_is_told_from_colour(name):
    layout, bits, alpha = split_name(name)
    assert alpha
    form = PictureFormat(layout=layout, bits=bits, width=8, height=8)
    assert pixel_format_name(form, alpha=True) == name


def test_grey_has_no_planar_alpha():
    grey = PictureFormat(layout="gray", bits=8, width=8, height=8)
    with pytest.raises(ValueError, match="no planar grey format with alpha"):
        pixel_format_name(grey, alpha=True)


@pytest.mark.parametrize("name", PLANAR)
def test_planar_formats_stay_as_they_are(name):
    assert planar_sibling(name) == name


def test_old_full_range_names_lose_their_j():
    assert planar_sibling("yuvj422p") == "yuv422p"


@pytest.mark.parametrize("name", ["gbrpf32le", "grayf32le", "xyz12le", "bayer_rggb8", "cuda"])
def test_formats_without_integer_samples_are_refused(name):
    with pytest.raises(SourceError, match=f"'{name}' is not supported: only integer"):
        planar_sibling(name)


def test_a_packed_name_is_no_frame_format():
    with pytest.raises(SourceError, match="'nv12' is not one that frames can have"):
        split_name("nv12")


@pytest.mark.parametrize("code_range", [0, 1, 2])
@pytest.mark.parametrize("name", PACKED)
def test_packed_pictures_are_repacked_bit_exactly(name, code_range):
    original = picture(3, (64, 48), planar_sibling(name))
    original.color_range = code_range
    packed = VideoReformatter().reformat(
        original, 64, 48, name, src_color_range=code_range, dst_color_range=code_range
    )
    packed.color_range = code_range
    unpacked = Unpacker().planar(packed)
    assert unpacked.format.name == planar_sibling(name)
    for before, after in zip(_all_planes(original), _all_planes(unpacked), strict=True):
        np.testing.assert_array_equal(before, after)


def _all_planes(frame):
    colour, alpha = plane_views(frame)
    return colour + alpha


@pytest.mark.parametrize("name", PLANAR)
def test_planes_of_a_picture_are_views_of_its_memory(name):
    original = picture(0, (64, 48), name)
    views, _ = plane_views(original)
    assert [view.ctypes.data for view in views] == [one.buffer_ptr for one in original.planes]


@pytest.mark.parametrize("name", PLANAR)
def test_wrapping_planes_copies_nothing(name):
    original = picture(0, (64, 48), name)
    views, _ = plane_views(original)
    wrapped = wrap(views, name)
    assert wrapped.format.name == name
    assert [one.buffer_ptr for one in wrapped.planes] == [view.ctypes.data for view in views]


def test_a_wrapped_picture_outlives_the_frame_it_came_from():
    views, _ = plane_views(picture(5, (64, 48), "yuv420p"))
    expected = views[0].copy()
    wrapped = wrap(views, "yuv420p")
    del views
    np.testing.assert_array_equal(plane_views(wrapped)[0][0], expected)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gbrp"])
@pytest.mark.parametrize("size", [(1, 1), (63, 49), (17, 2)])
def test_odd_sizes_are_wrapped_too(name, size):
    views, _ = plane_views(picture(1, size, name))
    for before, after in zip(views, plane_views(wrap(views, name))[0], strict=True):
        np.testing.assert_array_equal(before, after)


def test_flipped_and_read_only_planes_are_wrapped_by_copying():
    plane = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)
    locked = plane.copy()
    locked.flags.writeable = False
    for awkward in (plane[::-1], plane[:, ::2], locked, np.broadcast_to(plane[:1], (48, 64))):
        np.testing.assert_array_equal(plane_views(wrap((awkward,), "gray"))[0][0], awkward)


def test_unknown_rationals_become_none():
    assert as_fraction(None) is None
    assert as_fraction(Fraction(30000, 1001)) == Fraction(30000, 1001)


def test_source_info_tells_its_picture_format():
    info = SourceInfo(
        url="x", width=7, height=5, pixel_format="yuv422p10le", time_base=Fraction(1, 25)
    )
    assert info.picture_format == PictureFormat(layout="422", bits=10, width=7, height=5)


def test_looking_at_a_picture_leaves_no_circle_that_holds_it():
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        picture = VideoFrame(64, 48, "yuv420p")
        assert probe.display_matrix(picture) is None
        assert probe.mastering_display(picture) is None
        del picture
        gc.collect()
        assert not [held for held in gc.garbage if isinstance(held, VideoFrame)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
