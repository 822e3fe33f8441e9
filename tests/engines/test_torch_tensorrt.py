"""Everything about the Torch-TensorRT back end but its compiler, which needs a GPU."""

import io
import logging
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra `torch`")

import torch
from test_conformance import assert_equal, assert_parity, picture, run
from whole_engine import WholeCompiler, define_operator

from engines.backends.torch_tensorrt import TorchTensorRtEngine
from engines.backends.torch_tensorrt_build import (
    Profile,
    engine_precision,
    export_network,
    weights_digest,
)
from engines.cache import EngineCache
from engines.engine import Moment, PictureFormat, Smoothing
from engines.errors import DeviceMemoryError, EngineError

ROOT = Path(__file__).parents[2]
SIZE = PictureFormat("420", 8, 200, 140)


@pytest.fixture(scope="module", autouse=True)
def operator():
    if find_spec("torch_tensorrt"):
        pytest.skip("Torch-TensorRT has defined its operator")
    library = define_operator()
    yield library
    library._destroy()


def make(compiler, model, folder, *, on_build=None, **options):
    """An engine on a CPU."""
    options = {"device": "cpu", "largest": 512, "batch": 3, "cache_dir": folder, **options}
    return TorchTensorRtEngine(model=str(model), compiler=compiler, on_build=on_build, **options)


@pytest.fixture(scope="module")
def built(small_model, tmp_path_factory):
    """A cache that holds the engine of `make` without options."""
    folder = tmp_path_factory.mktemp("engines")
    make(WholeCompiler(), small_model, folder).open(SIZE).close()
    return folder


@pytest.fixture
def opened(small_model, built, tmp_path):
    """Makes engines, all with one cache, where that of `make` without options lies already."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return lambda compiler, **options: make(compiler, small_model, tmp_path, **options)


@pytest.fixture
def engine(opened):
    return opened(WholeCompiler())


@pytest.mark.parametrize("precision", ["f16", "bf16", "f32"])
def test_pictures_go_through_the_engine_in_its_precision(opened, network, precision):
    compiler = WholeCompiler()
    engine = opened(compiler, precision=precision)
    for picture_format in (SIZE, PictureFormat("gbr", 10, 300, 129)):
        assert_parity(engine, network, picture_format, picture(picture_format))
    assert engine.info.precision == precision
    assert compiler.built == (precision != "f16")
    assert compiler.loaded == 2  # each session computes in memory of its own


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (512, 512)])
def test_small_pictures_are_padded_to_the_least_size(engine, network, size):
    picture_format = PictureFormat("422", 8, *size)
    planes = picture(picture_format)
    assert_parity(engine, network, picture_format, planes)
    assert_equal(run(engine, planes, picture_format, 0.0), planes)


def test_sessions_smooth_and_take_batches(engine):
    smoothing = Smoothing(luma_s=0.15, chroma_s=0.25)
    session = engine.open(SIZE, smoothing=smoothing)
    moments = [Moment(n / 30) for n in range(3)]
    found = session.submit([picture(SIZE)] * 3, moments=moments).result()
    assert len(found) == 3
    assert session.flicker.frames == 2
    assert engine.open(SIZE, batch=2).batch == 2


def test_an_engine_is_built_once_and_kept(small_model, tmp_path, caplog):
    first, second = WholeCompiler(), WholeCompiler()
    told = []
    caplog.set_level(logging.INFO)
    engine = make(
        first, small_model, tmp_path, on_build=lambda what, share: told.append((what, share))
    )
    planes = picture(SIZE)
    wanted = run(engine, planes, SIZE)
    again = make(second, small_model, tmp_path, on_build=lambda what, share: told.append("again"))
    assert_equal(run(again, planes, SIZE), wanted)
    assert (first.built, second.built) == (1, 0)
    (entry,) = EngineCache(tmp_path).entries()
    assert entry.what == "small, f16, up to 3 x 512x512 by torch-tensorrt"
    assert [what for what, _ in told] == [entry.what] * len(told)
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert caplog.text.count(f"building {entry.what}; it takes minutes") == 1


@pytest.mark.parametrize(
    "other",
    [{"precision": "bf16"}, {"batch": 2}, {"largest": 256}, {"optimization": 5}],
    ids=lambda other: next(iter(other)),
)
def test_an_engine_made_otherwise_is_another_one(opened, other):
    assert opened(WholeCompiler(), **other).origin != opened(WholeCompiler()).origin


def test_an_engine_of_other_weights_or_versions_is_another_one(engine, opened, tmp_path):
    assert opened(WholeCompiler("1.1")).origin != engine.origin
    assert make(WholeCompiler(), "nano", tmp_path).origin != engine.origin
    assert opened(WholeCompiler(), requests=2, graph="off").origin == engine.origin


def test_other_weights_are_another_network(network):
    first = weights_digest(network)
    assert weights_digest(network) == first
    half = torch.nn.Linear(2, 2).half()
    digest = weights_digest(half)
    with torch.no_grad():
        half.weight[0, 0] += 1
    assert weights_digest(half) != digest
    assert weights_digest(half.float()) != weights_digest(half.half())


class Refuses(WholeCompiler):
    """Loads nothing until it has built, as when a driver has changed."""

    def load(self, content):
        if not self.built:
            raise RuntimeError("the engine was built for another device\nand more")
        return super().load(content)


def test_an_engine_that_is_refused_is_built_again_and_said_to_be(engine, opened, caplog):
    planes = picture(SIZE)
    wanted = run(engine, planes, SIZE)
    compiler = Refuses()
    assert_equal(run(opened(compiler), planes, SIZE), wanted)
    assert compiler.built == 1
    assert "is refused: the engine was built for another device; it is built again" in caplog.text


def test_a_damaged_engine_is_built_again_and_said_to_be(opened, tmp_path, caplog):
    (path,) = tmp_path.glob("*.engine")
    path.write_bytes(path.read_bytes()[:-100])
    compiler = WholeCompiler()
    run(opened(compiler), picture(SIZE), SIZE)
    assert compiler.built == 1
    assert "is damaged; it is built again" in caplog.text


class LeavesPartsToTorch(WholeCompiler):
    def build(self, program, profile):
        file = io.BytesIO()
        torch.export.save(program, file)
        return file.getvalue()


class Widens(WholeCompiler):
    """Answers a request for half precision with an engine in f32."""

    def build(self, program, profile):
        return self.whole(program, profile, torch.float32)


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        (LeavesPartsToTorch(), r"not compiled as a whole; left to torch: .*conv2d"),
        (Widens(), "the engine is in f32, not in f16"),
    ],
    ids=["parts", "precision"],
)
def test_what_was_not_built_as_asked_is_refused_and_not_kept(
    small_model, tmp_path, compiler, reason
):
    with pytest.raises(EngineError, match=reason):
        make(compiler, small_model, tmp_path).open(SIZE)
    assert EngineCache(tmp_path).entries() == []


class Fails(WholeCompiler):
    def __init__(self, error):
        super().__init__()
        self._error = error

    def build(self, program, profile):
        raise self._error


def test_a_build_that_fails_names_the_engine(small_model, tmp_path):
    engine = make(Fails(AssertionError("no converter\nand a page")), small_model, tmp_path)
    with pytest.raises(EngineError, match=r"small, f16, .* cannot be built: no converter$"):
        engine.open(SIZE)


def test_a_build_without_memory_says_so(small_model, tmp_path):
    engine = make(Fails(torch.OutOfMemoryError("CUDA out of memory")), small_model, tmp_path)
    with pytest.raises(DeviceMemoryError, match="torch-tensorrt: too little memory for 3 picture"):
        engine.open(SIZE)


def test_a_picture_the_engine_is_not_made_for_is_refused_as_too_large(engine):
    with pytest.raises(DeviceMemoryError, match=r"3 picture\(s\) of up to 512x512 .* of 513x64"):
        engine.open(PictureFormat("420", 8, 513, 64))
    with pytest.raises(DeviceMemoryError, match="got 4 of 64x64"):
        engine.open(PictureFormat("420", 8, 64, 64), batch=4)


@pytest.mark.parametrize("batch", [1, 4])
def test_the_export_takes_every_size_of_its_profile(network, batch):
    profile = Profile(multiple=network.config.multiple, most_tiles=9, batch=batch)
    module = export_network(network, profile).module()
    for shapes in zip(*profile.ranges(), strict=True):
        view = [torch.rand(shape) for shape in shapes]
        with torch.no_grad():
            for found, wanted in zip(module(*view), network(*view), strict=True):
                torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch's own
def test_the_export_is_made_of_what_has_converters_for_varying_sizes(network):
    """Of those that Torch-TensorRT 2.13 has; it leaves any other operator to torch."""
    profile = Profile(multiple=network.config.multiple, most_tiles=8, batch=2)
    program = export_network(network, profile).run_decompositions({})
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert {str(node.target) for node in calls} == {
        "aten.abs.default",
        "aten.add.Tensor",
        "aten.avg_pool2d.default",
        "aten.cat.default",
        "aten.conv2d.default",
        "aten.mul.Tensor",
        "aten.pixel_shuffle.default",
        "aten.relu.default",
        "aten.sub.Tensor",
        "aten.upsample_bilinear2d.vec",
    }


def test_heights_of_luma_and_chroma_are_tied(network):
    profile = Profile(multiple=network.config.multiple, most_tiles=8, batch=1)
    module = export_network(network, profile).module()
    y, u, v = (torch.rand(shape) for shape in profile.shapes(1, profile.most, profile.most))
    with torch.no_grad(), pytest.raises((AssertionError, RuntimeError)):
        module(y, u[:, :, : profile.least // 2], v)


def test_profiles_hold_the_usual_picture_where_there_is_room():
    luma, chroma, _ = Profile(multiple=64, most_tiles=64, batch=2).ranges()
    assert luma == ((1, 1, 128, 128), (2, 1, 1088, 1920), (2, 1, 4096, 4096))
    assert chroma == ((1, 1, 64, 64), (2, 1, 544, 960), (2, 1, 2048, 2048))
    assert Profile(multiple=64, most_tiles=8, batch=1).ranges()[0][1] == (1, 1, 512, 512)


def test_the_export_keeps_the_networks_precision(small_model):
    from engines.models import load_network

    network = load_network(small_model.with_suffix(".safetensors")).half()
    profile = Profile(multiple=network.config.multiple, most_tiles=4, batch=1)
    program = export_network(network, profile)
    ends = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"]
    assert {tensor.dtype for tensor in ends} == {torch.float16}
    with pytest.raises(EngineError, match="left to torch"):
        engine_precision(program)


def fail_to_open(folder: Path | None, small_model: Path) -> str:
    """What a process that finds `folder` first says when it opens the back end."""
    program = (
        "import sys\n"
        "from engines.backends import create_engine\n"
        "from engines.errors import EngineError\n"
        "try:\n"
        "    create_engine('torch-tensorrt', model=sys.argv[1])\n"
        "except EngineError as error:\n"
        "    print(error)\n"
    )
    paths = [str(folder)] if folder else []
    done = subprocess.run(
        [sys.executable, "-c", program, str(small_model)],
        cwd=ROOT,
        env={"PYTHONPATH": ":".join([*paths, str(ROOT)]), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    (line,) = done.stdout.splitlines()
    return line


def test_a_missing_extra_is_named(small_model):
    said = fail_to_open(None, small_model)
    assert said.startswith("torch-tensorrt: torch_tensorrt is not installed: pip install")
    assert "demoire[torch-tensorrt]" in said


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("print('no lib'); raise Exception('Could not find libnvinfer.so.11')", "Exception: Could"),
        ("assert False, 'Torch not compiled with CUDA enabled'", "AssertionError: Torch not"),
        ("raise OSError('libtorch_cuda.so: cannot open')", "OSError: libtorch_cuda.so"),
    ],
    ids=["bare", "assertion", "library"],
)
def test_what_its_import_raises_becomes_one_sentence(small_model, tmp_path, statement, reason):
    (tmp_path / "torch_tensorrt").mkdir()
    (tmp_path / "torch_tensorrt" / "__init__.py").write_text(statement)
    said = fail_to_open(tmp_path, small_model)
    assert f"torch_tensorrt cannot be imported ({reason}" in said
    assert "demoire[torch-tensorrt]" in said


def test_a_dependency_that_is_missing_is_named(small_model, tmp_path):
    (tmp_path / "torch_tensorrt").mkdir()
    (tmp_path / "torch_tensorrt" / "__init__.py").write_text("import dllist_of_no_package")
    assert "dllist_of_no_package is not installed" in fail_to_open(tmp_path, small_model)


def test_the_library_is_imported_only_when_it_is_chosen():
    program = (
        "import sys\n"
        "import engines.backends.torch_tensorrt\n"
        "print('torch_tensorrt' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
