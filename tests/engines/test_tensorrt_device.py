"""One contract for devices: `CudaDevice` on a GPU, and `SlowDevice`, which stands in for it."""

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from engines.errors import DeviceMemoryError, EngineError

GARBAGE = 0xA5
TOO_MUCH = 1 << 45
"""Bytes that no GPU has."""


class InertLibrary:
    """A TensorRT that is never asked for anything: these tests are of what lies below it."""

    name = "no TensorRT"
    logger = SimpleNamespace(last="")
    trt = SimpleNamespace(Runtime=lambda logger: logger)


class Slow:
    """`SlowDevice`, whose default stream is written to by hand."""

    bulk = 1 << 10

    def __init__(self):
        pytest.importorskip("onnx", reason="`slow_device` needs the extra `train`")
        from slow_device import SlowDevice

        self.device = SlowDevice(seed=0)

    def plane(self, rows, apart):
        wide = np.full((len(rows), apart, *rows.shape[2:]), GARBAGE, rows.dtype)
        found = wide[:, : rows.shape[1]]

        def write():
            found[...] = rows

        self.device.default.work.append(write)
        return found

    def settle(self):
        self.device.default.record().synchronize()


class Cuda:
    """`CudaDevice`, whose default stream is torch's."""

    bulk = 1 << 28

    def __init__(self):
        self.device = cuda_device(0)

    def plane(self, rows, apart):
        torch = pytest.importorskip("torch")
        # torch has few kernels for unsigned words.
        words = rows.view(np.int16) if rows.dtype == np.uint16 else rows
        source = torch.from_numpy(words).cuda()
        wide = torch.full(
            (len(rows), apart, *rows.shape[2:]), GARBAGE, dtype=source.dtype, device="cuda"
        )
        found = wide[:, : rows.shape[1]]
        found.copy_(torch.zeros_like(source))  # loads the kernel, which may wait
        torch.cuda.synchronize()
        torch.cuda._sleep(100_000_000)  # cycles of the GPU: whoever does not wait comes too early
        found.copy_(source)
        return found.view(torch.uint16) if rows.dtype == np.uint16 else found

    def settle(self):
        pytest.importorskip("torch").cuda.synchronize()


def cuda_device(index):
    if os.environ.get("DEMOIRE_REQUIRE_CUDA") != "1":
        pytest.importorskip("cuda.core", reason="needs the extra `trt-rtx` or `tensorrt`")
    from engines.backends.tensorrt.cuda import CudaDevice

    return CudaDevice(index, InertLibrary())


@pytest.fixture(params=[Slow, pytest.param(Cuda, marks=pytest.mark.needs_cuda)])
def place(request):
    found = request.param()
    yield found
    found.settle()


@pytest.fixture
def device(place):
    place.device.activate()
    return place.device


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def pinned(device, data):
    memory = device.pin(data.size)
    memory.bytes[:] = data
    return memory


def uploaded(device, data):
    source, target, stream = pinned(device, data), device.allocate(data.size), device.stream()
    stream.copy(source, target)
    stream.record().synchronize()
    return target


def downloaded(device, memory):
    target, stream = device.pin(memory.size), device.stream()
    target.bytes[:] = GARBAGE
    stream.copy(memory, target)
    stream.record().synchronize()
    return target.bytes.copy()


def keep_busy(place, stream):
    """Queue what takes a GPU milliseconds; the memory is to be kept until that is done."""
    source, target = place.device.allocate(place.bulk), place.device.allocate(place.bulk)
    for _ in range(64):
        stream.copy(source, target)
    return source, target


class TestMemory:
    @pytest.mark.parametrize("size", [1, 3, 255, 4097, 1_000_003])
    def test_bytes_come_back_as_they_were(self, device, size):
        data = noise(size)
        memory = uploaded(device, data)
        assert memory.size == size
        np.testing.assert_array_equal(downloaded(device, memory), data)

    def test_is_all_zeros_also_where_others_had_theirs(self, device):
        for size in (5, 1 << 20):
            dirty = uploaded(device, np.full(size, GARBAGE, np.uint8))
            del dirty
            gc.collect()
            assert not downloaded(device, device.allocate(size)).any()

    @pytest.mark.parametrize(("begin", "size"), [(0, 1), (1, 7), (255, 513), (1000, 24)])
    def test_parts_are_where_they_say(self, device, begin, size):
        data, more = noise(1024), noise(size, seed=1)
        whole = uploaded(device, data)
        part = whole.part(begin, size)
        assert part.size == size
        np.testing.assert_array_equal(downloaded(device, part), data[begin : begin + size])
        stream, source = device.stream(), pinned(device, more)
        stream.copy(source, part)
        stream.record().synchronize()
        data[begin : begin + size] = more
        np.testing.assert_array_equal(downloaded(device, whole), data)

    def test_parts_of_parts_and_of_the_hosts_memory(self, device):
        data = noise(1000)
        source, target = pinned(device, data), device.allocate(1000)
        stream = device.stream()
        stream.copy(source.part(100, 500).part(7, 300), target.part(200, 400).part(50, 300))
        stream.record().synchronize()
        wanted = np.zeros(1000, np.uint8)
        wanted[250:550] = data[107:407]
        np.testing.assert_array_equal(downloaded(device, target), wanted)
        np.testing.assert_array_equal(source.part(100, 500).part(7, 300).bytes, data[107:407])

    def test_lives_as_long_as_a_part_of_it(self, device):
        data = noise(1 << 20)
        part = uploaded(device, data).part(12345, 54321).part(5, 50000)
        gc.collect()
        others = [uploaded(device, np.full(1 << 20, GARBAGE, np.uint8)) for _ in range(4)]
        np.testing.assert_array_equal(downloaded(device, part), data[12350:62350])
        del others

    def test_of_the_host_lives_as_long_as_a_view_of_it(self, device):
        data = noise(1 << 16)
        view = pinned(device, data).bytes[100:60000].reshape(-1, 100)[1:]
        gc.collect()
        others = [pinned(device, np.full(1 << 16, GARBAGE, np.uint8)) for _ in range(4)]
        np.testing.assert_array_equal(view.reshape(-1), data[200:60000])
        del others

    def test_that_there_is_not_is_refused_and_the_device_works_on(self, device):
        with pytest.raises(DeviceMemoryError, match=rf"cuda:0.*{TOO_MUCH} bytes cannot be had"):
            device.allocate(TOO_MUCH)
        data = noise(4096)
        np.testing.assert_array_equal(downloaded(device, uploaded(device, data)), data)


class TestStreams:
    def test_wait_for_points_of_others(self, place, device):
        data = noise(4096)
        source, between, target = pinned(device, data), device.allocate(4096), device.pin(4096)
        first, second = device.stream(), device.stream()
        kept = keep_busy(place, first)
        first.copy(source, between)
        second.wait(first.record())
        second.copy(between, target)
        second.record().synchronize()
        np.testing.assert_array_equal(target.bytes, data)
        del kept

    def test_take_turns(self, place, device):
        """A buffer that one fills and another empties, as a session's do."""
        pictures = [noise(4096, seed) for seed in range(6)]
        sources = [pinned(device, data) for data in pictures]
        targets = [device.pin(4096) for _ in pictures]
        shared, fills, empties = device.allocate(4096), device.stream(), device.stream()
        kept, emptied = [], None
        for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
            kept.append(keep_busy(place, (fills, empties)[number % 2]))
            if emptied is not None:
                fills.wait(emptied)
            fills.copy(source, shared)
            empties.wait(fills.record())
            empties.copy(shared, target)
            emptied = empties.record()
        emptied.synchronize()
        for target, data in zip(targets, pictures, strict=True):
            np.testing.assert_array_equal(target.bytes, data)
        del kept

    def test_a_recorded_point_is_waited_for(self, place, device):
        data = noise(100_001)
        memory, target, stream = uploaded(device, data), device.pin(100_001), device.stream()
        kept = keep_busy(place, stream)
        stream.copy(memory, target)
        stream.record().synchronize()
        np.testing.assert_array_equal(target.bytes, data)
        del kept

    def test_points_outlive_their_streams(self, place, device):
        data = noise(4096)
        source, target = uploaded(device, data), device.pin(4096)

        def point():
            stream = device.stream()
            kept = keep_busy(place, stream)
            stream.copy(source, target)
            return stream.record(), kept

        event, kept = point()
        gc.collect()
        event.synchronize()
        event.synchronize()
        np.testing.assert_array_equal(target.bytes, data)
        del kept

    def test_more_work_takes_more_time(self, place, device):
        stream = device.stream()
        begin = stream.record()
        kept = keep_busy(place, stream)
        middle = stream.record()
        more = keep_busy(place, stream)
        end = stream.record()
        end.synchronize()
        assert 0 < device.elapsed_ms(begin, middle) < device.elapsed_ms(begin, end)
        del kept, more

    def test_threads_use_the_device_together(self, device):
        def turns(seed):
            device.activate()
            for turn in range(8):
                data = noise(100_000 + seed, seed=(seed, turn))
                np.testing.assert_array_equal(downloaded(device, uploaded(device, data)), data)
            return seed

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(turns, (1, 2))) == [1, 2]


def test_what_a_device_gave_works_without_it(place):
    place.device.activate()
    data = noise(4096)
    stream, memory, target = (
        place.device.stream(),
        uploaded(place.device, data),
        place.device.pin(4096),
    )
    place.device = type(place)().device  # the other is gone
    gc.collect()
    stream.copy(memory, target)
    stream.record().synchronize()
    np.testing.assert_array_equal(target.bytes, data)


def test_a_device_has_a_name_with_its_number_and_a_kind(device):
    assert device.name.startswith("cuda:0: ")
    assert "compute capability" in device.kind
    assert "cuda:0" not in device.kind  # another of its kind runs the same plans


SHAPES = [(1, 1), (7, 33), (270, 481), (1, 640), (5, 1, 2), (7, 33, 2), (135, 241, 2)]


def plane_of(shape, dtype):
    rows = noise(int(np.prod(shape)) * np.dtype(dtype).itemsize, seed=3)
    return rows.view(dtype).reshape(shape)


class TestSurfaces:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("gap", [0, 13], ids="gap={}".format)
    def test_rows_are_copied_close_together(self, place, device, shape, dtype, gap):
        rows = plane_of(shape, dtype)
        plane = place.plane(rows, shape[1] + gap)
        place.settle()
        surface, stream = device.surface(plane), device.stream()
        assert (surface.shape, surface.size) == (shape, rows.nbytes)
        whole = device.allocate(rows.nbytes + 5)
        stream.copy_rows(surface, whole.part(3, rows.nbytes))
        stream.record().synchronize()
        wanted = np.zeros(whole.size, np.uint8)
        wanted[3:-2] = rows.view(np.uint8).reshape(-1)
        np.testing.assert_array_equal(downloaded(device, whole), wanted)

    def test_the_default_stream_is_waited_for(self, place, device):
        rows = plane_of((270, 480), np.uint8)
        memory, target, stream = device.allocate(rows.size), device.pin(rows.size), device.stream()
        plane = place.plane(rows, 512)
        stream.wait_for_default()
        stream.copy_rows(device.surface(plane), memory)
        stream.copy(memory, target)
        stream.record().synchronize()
        np.testing.assert_array_equal(target.bytes, rows.reshape(-1))

    @pytest.mark.needs_cuda
    def test_on_the_host_are_refused(self):
        device = cuda_device(0)
        with pytest.raises(EngineError, match="came from the host's memory, the engine is on cuda"):
            device.surface(np.zeros((8, 8), np.uint8))

    @pytest.mark.needs_cuda
    def test_with_holes_in_their_rows_are_refused(self):
        torch = pytest.importorskip("torch")
        device, wide = cuda_device(0), torch.zeros((8, 16), dtype=torch.uint8, device="cuda")
        for plane in (wide[:, ::2], wide.T, wide.reshape(8, 4, 4)[:, :, :2]):
            with pytest.raises(EngineError, match=r"a decoder's plane of \(.*\) has holes"):
                device.surface(plane)

    @pytest.mark.parametrize(
        ("shape", "strides", "pitch"),
        [((1, 20), (1, 1), 20), ((6, 1, 2), (64, 1, 1), 64), ((1, 1), (7, 7), 1)],
        ids=str,
    )
    def test_sides_of_one_sample_have_no_holes(self, shape, strides, pitch):
        """Libraries give such sides any stride: nothing is ever so far from anything."""
        pytest.importorskip("cuda.core", reason="needs the extra `trt-rtx` or `tensorrt`")
        from engines.backends.tensorrt.cuda_surface import surface_of

        array = np.lib.stride_tricks.as_strided(noise(1024), shape, strides)
        exporter = SimpleNamespace(
            __dlpack_device__=lambda: (2, 0), __dlpack__=lambda: array.__dlpack__()
        )
        surface = surface_of(exporter, 0)
        assert (surface.shape, surface.pitch) == (shape, pitch)


def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(EngineError, match="cuda:99 cannot be used: "):
        cuda_device(99)


class CopyContext:
    """An execution context as TensorRT's, whose work is a copy from `x` to `y`."""

    def __init__(self, size):
        self.size = size
        self.places = {}
        self.runs = 0

    def set_tensor_address(self, name, address):
        self.places[name] = address
        return True

    def execute_async_v3(self, stream):
        from cuda.bindings import driver

        self.runs += 1
        (status,) = driver.cuMemcpyAsync(self.places["y"], self.places["x"], self.size, stream)
        return status == driver.CUresult.CUDA_SUCCESS


class Asked(CopyContext):
    """One that can tell whether it can be captured, as newer ones."""

    def __init__(self, size, answer):
        super().__init__(size)
        self._answer = answer

    def is_stream_capturable(self, stream):
        assert isinstance(stream, int)
        return self._answer


class RefusesCapture(CopyContext):
    def execute_async_v3(self, stream):
        return super().execute_async_v3(stream) and self.runs == 1


class WaitsInCapture(CopyContext):
    """What no capture survives."""

    def execute_async_v3(self, stream):
        from cuda.bindings import driver

        super().execute_async_v3(stream)
        driver.cuStreamSynchronize(stream)
        return True


@pytest.mark.needs_cuda
class TestLaunches:
    SIZE = 10_000

    @pytest.fixture
    def device(self):
        return cuda_device(0)

    def bound(self, device, context):
        from engines.backends.tensorrt.cuda import CudaLaunch

        x, y = uploaded(device, noise(self.SIZE)), device.allocate(self.SIZE)
        launch = CudaLaunch(context, {"x": x, "y": y}, "a copy")
        launch.capture(device.stream())
        return launch, x, y

    @pytest.mark.parametrize(
        ("make", "is_graph"),
        [
            (CopyContext, True),
            (lambda size: Asked(size, answer=True), True),
            (lambda size: Asked(size, answer=False), False),
        ],
        ids=["not asked", "can be captured", "cannot be captured"],
    )
    def test_run_where_they_were_bound_as_often_as_asked(self, device, make, is_graph):
        """Two with one context, in turns, each with memory of its own."""
        context = make(self.SIZE)
        launches = [self.bound(device, context) for _ in range(2)]
        for _, _, y in launches:
            np.testing.assert_array_equal(downloaded(device, y), noise(self.SIZE))
        runs, stream = context.runs, device.stream()
        assert runs == (4 if is_graph else 2)
        for seed in range(1, 7):
            launch, x, y = launches[seed % 2]
            data, target = noise(self.SIZE, seed), device.pin(self.SIZE)
            source = pinned(device, data)
            stream.copy(source, x)
            stream.launch(launch)
            stream.copy(y, target)
            stream.record().synchronize()
            np.testing.assert_array_equal(target.bytes, data)
        assert context.runs - runs == (0 if is_graph else 6)

    def test_wait_for_what_is_before_them_in_their_stream(self, device):
        launch, x, y = self.bound(device, CopyContext(self.SIZE))
        place, data = SimpleNamespace(device=device, bulk=Cuda.bulk), noise(self.SIZE, seed=9)
        first, second, source = device.stream(), device.stream(), pinned(device, data)
        target = device.pin(self.SIZE)
        kept = keep_busy(place, first)
        first.copy(source, x)
        second.wait(first.record())
        second.launch(launch)
        second.copy(y, target)
        second.record().synchronize()
        np.testing.assert_array_equal(target.bytes, data)
        del kept

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (RefusesCapture, "tensorrt: a copy failed to start"),
            (WaitsInCapture, "tensorrt: a copy cannot be captured as a CUDA graph: "),
        ],
    )
    def test_that_cannot_be_captured_are_refused_and_the_device_works_on(
        self, device, make, message
    ):
        with pytest.raises(EngineError, match=message):
            self.bound(device, make(self.SIZE))
        data = noise(4096)
        np.testing.assert_array_equal(downloaded(device, uploaded(device, data)), data)
        launch, x, y = self.bound(device, CopyContext(self.SIZE))
        stream = device.stream()
        stream.launch(launch)
        stream.record().synchronize()
        np.testing.assert_array_equal(downloaded(device, y), downloaded(device, x))
