"""TensorRT-RTX really builds what the back end writes; it needs no GPU for that."""

import pytest
from opening import need_tensorrt

from engines.backends.padding import padded_shapes
from engines.engine import CHROMA_SHIFT, PictureFormat
from engines.errors import EngineError
from engines.models import SHIPPED, model_path

STEPS = ("look", "move", "compare", "blend", "relight")
HD = PictureFormat("420", 8, 1920, 1080)


@pytest.fixture(scope="module")
def library():
    need_tensorrt()
    from engines.backends.tensorrt.library import Library

    return Library()


def network(model="nano"):
    from engines.backends.tensorrt.network import ExportedNetwork

    return ExportedNetwork(model_path(model))


def profiles(picture_format=HD, batch=1):
    from engines.backends.tensorrt.engine import network_profiles

    return network_profiles(picture_format, 64, batch=batch)


def smoothing(picture_format, step):
    from engines.backends.tensorrt.smoothing import SmoothingGraphs

    return SmoothingGraphs(picture_format, padded_shapes(picture_format, 64)).write(step)


@pytest.mark.parametrize("precision", ["f16", "f32"])
@pytest.mark.parametrize("model", SHIPPED)
def test_every_shipped_model_is_built_for_all_sizes_up_to_2160p(library, model, precision):
    onnx = network(model).between(HD, precision)
    ends = library.inputs_and_outputs(onnx, model)
    assert ends == {
        "y": ("uint8", (-1, 1, -1, -1)),
        "u": ("uint8", (-1, 1, -1, -1)),
        "v": ("uint8", (-1, 1, -1, -1)),
        "strength": ("float32", (1,)),
        "y_out": ("uint8", (-1, 1, -1, -1)),
        "u_out": ("uint8", (-1, 1, -1, -1)),
        "v_out": ("uint8", (-1, 1, -1, -1)),
    }
    assert library.precision(onnx, model) == precision
    said = []
    plan = library.build(
        onnx, profiles=profiles(), what=model, on_build=lambda *told: said.append(told)
    )
    weights = model_path(model).stat().st_size
    assert len(plan) > (1 if precision == "f16" else 2) * 0.9 * weights
    assert {what for what, _ in said} == {model}
    shares = [share for _, share in said]
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_profiles_hold_both_ways_round_of_each_size():
    need_tensorrt()
    found = [profile["y"] for profile in profiles(batch=2)]
    assert found == [
        ((1, 1, 64, 64), (1, 1, 768, 1280), (2, 1, 1280, 1280)),
        ((1, 1, 64, 64), (1, 1, 1088, 1920), (2, 1, 1920, 1920)),
        ((1, 1, 64, 64), (1, 1, 2176, 3840), (2, 1, 3840, 3840)),
    ]
    assert profiles()[2]["v"] == ((1, 1, 32, 32), (1, 1, 1088, 1920), (1, 1, 1920, 1920))


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("layout", CHROMA_SHIFT)
def test_the_network_of_every_layout_and_depth_is_built(library, layout, bits):
    picture_format = PictureFormat(layout, bits, 640, 360)
    onnx = network().between(picture_format, "f16")
    ends = library.inputs_and_outputs(onnx, "nano")
    planes = {"gray": {"y"}, "gbr": {"g", "b", "r"}}.get(layout, {"y", "u", "v"})
    assert set(ends) == planes | {f"{plane}_out" for plane in planes} | {"strength"}
    assert {len(shape) for kind, shape in ends.values() if kind == "uint8"} == {
        4 if bits == 8 else 5
    }
    assert library.precision(onnx, "nano") == "f16"
    assert library.build(onnx, profiles=profiles(picture_format)[:1], what="nano")


@pytest.mark.parametrize("picture_format", [HD, PictureFormat("422", 10, 1920, 1080)], ids=str)
@pytest.mark.parametrize("step", STEPS)
def test_smoothing_is_built(library, step, picture_format):
    onnx = smoothing(picture_format, step)
    assert library.precision(onnx, step) == ""
    assert library.build(onnx, what=step)
    kinds = {kind for kind, _ in library.inputs_and_outputs(onnx, step).values()}
    assert kinds <= {"uint8", "float32"}


@pytest.mark.parametrize(
    "picture_format", [PictureFormat("gbr", 16, 300, 200), PictureFormat("gray", 12, 300, 200)]
)
@pytest.mark.parametrize("step", STEPS)
def test_smoothing_of_rgb_and_grey_is_read(library, step, picture_format):
    names = library.inputs_and_outputs(smoothing(picture_format, step), step)
    assert len(names) >= len(picture_format.plane_shapes)


def test_the_same_network_gives_the_same_bytes():
    need_tensorrt()
    assert network().between(HD, "f16") == network().between(HD, "f16")


def test_half_precision_halves_the_weights():
    need_tensorrt()
    half, whole = (len(network().between(HD, precision)) for precision in ("f16", "f32"))
    assert 1.9 < whole / half < 2.1


def test_what_is_no_graph_is_refused_with_the_reason(library):
    with pytest.raises(EngineError, match=r"tensorrt_rtx .*: junk cannot be read: .+"):
        library.build(b"junk", what="junk")


def test_sizes_without_a_profile_are_refused_with_the_reason(library):
    onnx = network().between(HD, "f16")
    with pytest.raises(EngineError, match=r"nano cannot be built: .*(profile|dynamic)"):
        library.build(onnx, what="nano")


def test_impossible_sizes_are_refused(library):
    wrong = {"y": ((1, 1, 128, 128), (1, 1, 64, 64), (1, 1, 32, 32))}
    onnx = network().between(HD, "f16")
    with pytest.raises((EngineError, ValueError), match=r".+"):
        library.build(onnx, profiles=[wrong], what="nano")


def test_an_error_while_progress_is_shown_ends_the_build(library):
    class PulledPlugError(Exception):
        pass

    def tell(what, share):
        raise PulledPlugError(f"{what} at {share}")

    with pytest.raises(PulledPlugError, match="nano at 0"):
        library.build(network().between(HD, "f16"), profiles=profiles(), what="nano", on_build=tell)


@pytest.mark.parametrize("content", [b"", b"not protobuf at all", b"\x08\x07"])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path, content):
    need_tensorrt()
    from engines.backends.tensorrt.network import ExportedNetwork

    path = tmp_path / "mine.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"mine.onnx: (is not an ONNX file|not written by)"):
        ExportedNetwork(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    need_tensorrt()
    from engines.backends.tensorrt.network import ExportedNetwork

    with pytest.raises(EngineError, match=r"gone.onnx: cannot be read: No such file"):
        ExportedNetwork(tmp_path / "gone.onnx")
