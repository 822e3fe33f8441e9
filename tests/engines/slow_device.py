"""A device that does nothing before it must: what a GPU may do at worst, on a CPU.

Work on a stream runs when something waits for it, and then only as far as that needs; with a seed
above 0 other streams also get on a bit at random. A wait that the code forgot, or memory that it
reuses too early, so gives wrong pictures every time and not once a day. Programs are ONNX files
that OpenVINO runs, in place of TensorRT's.
"""

import random

import numpy as np
from onnx import load_model_from_string
from onnx.helper import tensor_dtype_to_np_dtype

from engines.backends.openvino_quiet import core
from engines.errors import DeviceMemoryError, EngineError


class SlowMemory:
    def __init__(self, array, *, on_device):
        self.array = array
        self.on_device = on_device

    @property
    def size(self):
        return self.array.size

    def part(self, begin, size):
        assert begin + size <= self.size
        return SlowMemory(self.array[begin : begin + size], on_device=self.on_device)

    @property
    def bytes(self):
        # An array whose views keep it and not the memory's own.
        return np.frombuffer(self.array.data, np.uint8)


class SlowSurface:
    """A plane of the decoder's, looked at but not read."""

    def __init__(self, exporter):
        self.array = np.from_dlpack(exporter)

    @property
    def shape(self):
        return self.array.shape

    @property
    def size(self):
        return self.array.nbytes


class SlowEvent:
    def __init__(self, stream, position):
        self.stream = stream
        self.position = position

    def synchronize(self):
        self.stream.device.stumble()
        self.stream.reach(self.position)


class SlowStream:
    def __init__(self, device):
        self.device = device
        self.work = []
        self.done = 0
        self.at_work = False

    def copy(self, source, target):
        assert source.size == target.size

        def run():
            target.array[:] = source.array

        self.work.append(run)

    def copy_rows(self, source, target):
        assert source.size == target.size

        def run():
            target.array[:] = np.ascontiguousarray(source.array).view(np.uint8).reshape(-1)

        self.work.append(run)

    def launch(self, work):
        self.work.append(work)

    def record(self):
        return SlowEvent(self, len(self.work))

    def wait(self, event):
        self.work.append(lambda: event.stream.reach(event.position))

    def wait_for_default(self):
        self.wait(self.device.default.record())

    def reach(self, position):
        if position <= self.done:
            return
        assert not self.at_work, "streams wait for each other"
        self.at_work = True
        while self.done < position:
            self.work[self.done]()
            self.work[self.done] = None
            self.done += 1
        self.at_work = False


class SlowProgram:
    def __init__(self, model):
        self.compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.request = self.compiled.create_infer_request()

    def bind(self, tensors):
        inputs = {name_of(port, tensors): port for port in self.compiled.inputs}
        outputs = {name_of(port, tensors): port for port in self.compiled.outputs}
        assert inputs.keys() | outputs.keys() == tensors.keys()

        def launch():
            results = self.request.infer(
                {port: values_of(port, tensors[name]) for name, port in inputs.items()}
            )
            for name, port in outputs.items():
                values_of(port, tensors[name])[...] = results[port]

        launch()  # as a GPU's driver must see it once, with whatever is there
        return launch


def name_of(port, names):
    """OpenVINO gives a value the names of all that are equal to it."""
    (name,) = port.names & set(names)
    return name


def values_of(port, memory):
    return memory.array.view(port.element_type.to_dtype()).reshape(list(port.shape))


class SlowLoaded:
    def __init__(self, onnx, device):
        self.model = core().read_model(onnx)
        self.device = device
        self.graph = load_model_from_string(onnx).graph

    def inputs_and_outputs(self):
        ends = (*self.graph.input, *self.graph.output)
        return {
            end.name: tensor_dtype_to_np_dtype(end.type.tensor_type.elem_type).name for end in ends
        }

    def prepare(self, shapes):
        if shapes and max(shapes[next(iter(shapes))]) > self.device.largest:
            raise DeviceMemoryError(f"slow: the engine is not made for sizes like {dict(shapes)}")
        model = self.model.clone()
        if shapes:
            model.reshape({name: list(shape) for name, shape in shapes.items()})
        return SlowProgram(model)


class SlowDevice:
    name = "cuda:0: slow"

    def __init__(self, *, seed):
        self.kind = "slow, compute capability 0.0"
        self.left = 1 << 40
        """Bytes."""
        self.largest = 1 << 20
        """Side of pictures that it takes."""
        self.pinned = 0
        self.loads = 0
        self.refuses = False
        self._random = random.Random(seed) if seed else None
        self._streams = []
        self.default = self.stream()
        """Where decoders work."""
        self._clock = 0.0

    def activate(self):
        pass

    def allocate(self, size):
        if size > self.left:
            raise DeviceMemoryError(f"{self.name}: {size} bytes cannot be had")
        self.left -= size
        return SlowMemory(np.zeros(size, np.uint8), on_device=True)

    def pin(self, size):
        self.pinned += 1
        return SlowMemory(np.full(size, 0xA5, np.uint8), on_device=False)

    def stream(self):
        self._streams.append(SlowStream(self))
        return self._streams[-1]

    def surface(self, exporter):
        return SlowSurface(exporter)

    def load(self, plan):
        self.loads += 1
        if self.refuses:
            raise EngineError(f"slow refuses the engine on {self.name}: made elsewhere")
        return SlowLoaded(plan, self)

    def elapsed_ms(self, begin, end):
        self._clock += 0.5
        return self._clock

    def stumble(self):
        """Let some other work get done, at random."""
        if self._random is None:
            return
        for stream in self._streams:
            if not stream.at_work and len(stream.work) > stream.done:
                stream.reach(self._random.randint(stream.done, len(stream.work)))
