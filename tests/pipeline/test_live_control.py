"""What can be changed while a camera runs."""

import pytest

from pipeline.live.control import LiveControl, Values


def control(**values):
    values = {"strength": 1.0, "smoothing": "auto", **values}
    return LiveControl(Values(**values), deband="auto", cleaned=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strength", 0.25),
        ("strength", 0),
        ("smoothing", "off"),
        ("smoothing", 0.5),
        ("bypass", True),
    ],
)
def test_what_is_set_is_in_force(name, value):
    one = control()
    one.set(name, value)
    assert one.values()[name] == value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("strength", 1.1, "strength: must be 0 to 1, got 1.1"),
        ("strength", "much", "strength: must be 0 to 1, got 'much'"),
        ("strength", True, "strength: must be 0 to 1, got True"),
        ("strength", float("nan"), "strength: must be 0 to 1, got nan"),
        ("smoothing", -1, "smoothing: must be off, auto, or seconds"),
        ("smoothing", "soft", "smoothing: must be off, auto, or seconds"),
        ("bypass", 1, "bypass: must be true or false, got 1"),
        ("zoom", 1, "'zoom': there are strength, smoothing and bypass"),
    ],
)
def test_wrong_values_are_refused_in_words_and_change_nothing(name, value, words):
    one = control()
    before = dict(one.values())
    with pytest.raises(ValueError, match=words):
        one.set(name, value)
    assert one.values() == before


def test_smoothing_lasts_as_long_as_is_said():
    one = control()
    one.set("smoothing", 0.6)
    assert one.smoothing.luma_s == pytest.approx(0.6)
    assert one.smoothing.chroma_s == pytest.approx(1.0)


def test_nothing_to_clean_is_not_smoothed_of_itself():
    one = control(strength=0.0)
    assert one.smoothing is None
    one.set("smoothing", 0.2)
    assert one.smoothing is not None


def test_off_is_off():
    assert control(smoothing="off").smoothing is None
