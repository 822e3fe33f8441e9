"""`bench compare`: ratios with their spread, and what differs."""

import pytest
from bench_results import ENGINE, SIMULATED, clip, part, result

from pipeline.bench.compare import compare
from pipeline.cli.bench_tables import comparison_tables


def only_stage(a, b):
    (stage,) = compare(result({"infer": a}), result({"infer": b})).stages
    return stage


@pytest.mark.parametrize(
    ("b", "shown"),
    [
        ((20.0, 21.0, 22.0), "faster"),
        ((5.0, 5.5, 6.0), "slower"),
        ((9.5, 10.5, 12.0), "no difference shown"),
        ((20.0,), "one repeat: no spread"),
    ],
)
def test_only_a_spread_without_one_shows_a_difference(b, shown):
    assert only_stage(part(10.0, 10.0, 11.0), part(*b)).shown == shown


def test_ratios_are_of_medians_and_their_spread_of_extremes():
    stage = only_stage(part(10.0, 12.0, 20.0), part(24.0, 36.0, 40.0))
    assert (stage.fps.median, stage.fps.min, stage.fps.max) == (3, 24 / 20, 4)
    assert stage.p50_ms.median == pytest.approx(1 / 3)
    assert stage.cpu_s.median == 1


def test_result_against_itself_differs_in_nothing():
    one = result({"infer": part(10.0, 11.0)})
    found = compare(one, one)
    assert found.stages[0].shown == "no difference shown"
    assert (found.differences, found.warnings, found.left_out) == ((), (), ())


def test_stages_that_only_one_has_are_named_with_the_reason():
    a = result({"infer": part(10.0), "transfer": part(skipped="none: host"), "smooth": part(None)})
    b = result({"transfer": part(10.0), "smooth": part(1.0)})
    assert compare(a, b).left_out == (
        "infer: not measured in B",
        "transfer: none: host (A)",
        "smooth: one of them shows no time that it takes",
    )


def test_differences_of_machine_settings_engine_and_versions_are_listed():
    a = result({})
    machine = {"cpu": "two", "cores": 8, "flags": ["avx2"], "libraries": {"av": "18.1", "x": "2"}}
    settings = a.settings | {"frames": 20}
    b = result({}, machine=machine, settings=settings, engine=ENGINE | {"precision": "f32"})
    found = {each.name: (each.a, each.b) for each in compare(a, b).differences}
    assert found == {
        "settings.frames": ("10", "20"),
        "engine.precision": ("bf16", "f32"),
        "machine.cpu": ("one", "two"),
        "machine.cores": ("2", "8"),
        "machine.libraries.x": ("-", "2"),
    }


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"input": clip(width=640, simulated=None)}, "A is of 192x128 and B of 640x128"),
        ({"input": clip(sha256="cd" * 32)}, "made alike on two machines, but not bit by bit"),
        ({"input": clip(sha256="cd" * 32, simulated=None)}, "the inputs are different clips"),
        (
            {"input": clip(sha256="cd" * 32, simulated=SIMULATED | {"seed": 8})},
            "the inputs are different clips",
        ),
        ({"engine": ENGINE | {"precision": "f32"}}, "A ran precision bf16, B f32"),
        ({"engine": ENGINE | {"model": "base"}}, "A ran model nano, B base"),
        ({"settings": {"smoothing": "off", "encoder": {"codec": "h264"}}}, "smoothing differ"),
        ({"settings": {"smoothing": "0.15 s", "encoder": {"codec": "av1"}}}, "encoder differ"),
    ],
)
def test_ratios_that_mean_little_come_with_a_warning(changes, warning):
    (said,) = compare(result({}), result({}, **changes)).warnings
    assert warning in said


def test_tables_can_be_made_of_every_comparison():
    a = result({"infer": part(10.0), "smooth": part(None), "decode": part(5.0)})
    b = result({"infer": part(20.0), "decode": part(5.0)}, load_before=2.0)
    shown = list(comparison_tables(compare(a, b), a="a.json", b="b.json"))
    lines = [one for one in shown if isinstance(one, str)]
    assert "not compared: smooth: not measured in B" in lines
    assert len(shown) - len(lines) == 2
