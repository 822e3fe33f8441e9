"""Pictures of any size and format, made to fit an output that never changes."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from live_units import flat_frame

from pipeline.frame import ColourTags
from pipeline.live.fit import Fitter

FULL = ColourTags(space=1, primaries=1, transfer=1, range=2)
LIMITED = ColourTags(space=1, primaries=1, transfer=1, range=1)


def box(frame):
    """Left, top, width and height of what is not the corner's level, in luma samples."""
    luma = frame.planes[0]
    rows, columns = np.nonzero(luma != luma[0, 0])
    top, left = rows.min(), columns.min()
    return tuple(int(n) for n in (left, top, columns.max() - left + 1, rows.max() - top + 1))


def middle(frame):
    return tuple(int(plane[plane.shape[0] // 2, plane.shape[1] // 2]) for plane in frame.planes)


def corner(frame):
    return tuple(int(plane[0, 0]) for plane in frame.planes)


def test_a_frame_that_fits_is_given_back_itself():
    frame = flat_frame((90, 100, 110), size=(160, 90))
    assert Fitter(160, 90, "yuv420p").fit(frame) is frame


@pytest.mark.parametrize(
    ("size", "placed"),
    [
        ((320, 180), (0, 28, 240, 136)),  # wider than 4:3: bars above and below
        ((90, 160), (52, 0, 136, 240)),  # a phone held upright: bars left and right
        ((1000, 20), (0, 94, 240, 4)),
    ],
)
def test_the_picture_keeps_its_shape_between_bars(size, placed):
    out = (240, 194) if size[0] > size[1] else (240, 240)
    fitted = Fitter(*out, "yuv420p").fit(flat_frame((90, 100, 110), size=size))
    left, top, width, height = box(fitted)
    assert (left, top, width, height) == placed
    assert middle(fitted) == (90, 100, 110)
    assert abs(width / height - size[0] / size[1]) * height / width < 0.2
    assert left % 2 == top % 2 == 0


def test_the_same_shape_in_another_size_gets_no_bars():
    fitted = Fitter(128, 72, "yuv420p").fit(flat_frame((90, 100, 110), size=(1920, 1080)))
    assert np.ptp(fitted.planes[0]) == 0
    assert fitted.planes[0].shape == (72, 128)


@pytest.mark.parametrize(
    ("colour", "bits", "black"),
    [
        (LIMITED, 8, (16, 128, 128)),
        (ColourTags(), 8, (16, 128, 128)),
        (FULL, 8, (0, 128, 128)),
        (LIMITED, 10, (64, 512, 512)),
        (FULL, 10, (0, 512, 512)),
    ],
)
def test_bars_are_as_black_as_the_range_says(colour, bits, black):
    name = "yuv420p" if bits == 8 else "yuv420p10le"
    frame = flat_frame((99, 100, 110), bits=bits, pixel_format=name, size=(64, 64), colour=colour)
    fitted = Fitter(128, 64, name).fit(frame)
    assert corner(fitted) == black
    assert middle(fitted) == (99, 100, 110)
    assert fitted.colour == colour


def test_samples_that_are_not_square_are_taken_into_account():
    # PAL widescreen: 720x576 samples show a picture of 16:9.
    frame = flat_frame((90, 100, 110), size=(720, 576))
    fitter = Fitter(640, 360, "yuv420p")
    assert box(replace(fitter.fit(frame), before=()))[2] == 450
    fitted = fitter.fit(frame, sample_aspect_ratio=Fraction(64, 45))
    assert np.ptp(fitted.planes[0]) == 0


def test_an_output_of_samples_that_are_not_square_keeps_them():
    fitter = Fitter(720, 576, "yuv420p", sample_aspect_ratio=Fraction(64, 45))
    same = flat_frame((90, 100, 110), size=(720, 576))
    assert fitter.fit(same) is same
    fitted = fitter.fit(
        flat_frame((90, 100, 110), size=(640, 360)), sample_aspect_ratio=Fraction(1)
    )
    assert np.ptp(fitted.planes[0]) == 0


@pytest.mark.parametrize(
    ("frame", "levels"),
    [
        (flat_frame((90, 100, 110), layout="422", pixel_format="yuv422p"), (90, 100, 110)),
        (flat_frame((90, 100, 110), layout="444", pixel_format="yuv444p"), (90, 100, 110)),
        (
            flat_frame((360, 400, 440), bits=10, pixel_format="yuv420p10le", colour=LIMITED),
            (90, 100, 110),
        ),
        (flat_frame((120,), layout="gray", pixel_format="gray"), (120, 128, 128)),
        # 100 % red in BT.709, limited range.
        (flat_frame((0, 0, 255), layout="gbr", pixel_format="gbrp"), (63, 102, 240)),
    ],
)
@pytest.mark.parametrize("out", [(160, 96), (96, 96)])
def test_the_format_changes_and_the_picture_does_not(frame, levels, out):
    fitted = Fitter(*out, "yuv420p").fit(frame)
    assert fitted.pixel_format == "yuv420p"
    assert np.allclose(middle(fitted), levels, atol=1)


def test_time_packets_and_the_rest_stay_as_they_are():
    packet = av.Packet(b"sound")
    frame = flat_frame(
        (90, 100, 110), size=(64, 64), pts=7, duration=3, discontinuity=True, packets=(packet,)
    )
    frame = replace(frame, left_source_s=12.5)
    fitted = Fitter(160, 90, "yuv420p").fit(frame)
    assert fitted == replace(
        frame, planes=fitted.planes, format=fitted.format, pixel_format="yuv420p"
    )
    assert fitted.left_source_s == 12.5
    assert fitted.packets[0] is packet


def test_what_was_before_cleaning_is_fitted_too():
    frame = flat_frame((90, 100, 110), size=(64, 64))
    fitted = Fitter(160, 90, "yuv420p").fit(replace(frame, before=frame.planes))
    assert [plane.shape for plane in fitted.before] == [(90, 160), (45, 80), (45, 80)]


@pytest.mark.parametrize("out", [(161, 91), (35, 97)])
def test_odd_outputs_are_filled_to_the_last_sample(out):
    fitted = Fitter(*out, "yuv420p").fit(flat_frame((90, 100, 110), size=(64, 64)))
    assert fitted.planes[1].shape == (-(-out[1] // 2), -(-out[0] // 2))
    assert middle(fitted) == (90, 100, 110)


def test_a_camera_that_changes_again_and_again_always_fits():
    fitter = Fitter(160, 90, "yuv420p")
    sizes = [(320, 180), (64, 64), (160, 90), (64, 64), (320, 180), (90, 160)]
    fitted = [fitter.fit(flat_frame((90, 100, 110), size=size)) for size in sizes]
    assert {frame.planes[0].shape for frame in fitted} == {(90, 160)}
    # Each has memory of its own: outlets and encoders still hold the last one.
    assert not np.shares_memory(fitted[1].planes[0], fitted[3].planes[0])
    assert {middle(frame) for frame in fitted} == {(90, 100, 110)}
