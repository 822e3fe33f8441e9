"""The TensorRT back end on `SlowDevice`: all but the GPU and its compiler is the real one."""

from slow_device import SlowDevice

from engines.backends.tensorrt.engine import TensorRtEngine


class SlowLibrary:
    """Has TensorRT read graphs, and builds nothing: its plans are the graphs themselves."""

    def __init__(self, library):
        self.name = library.name
        self.precision = library.precision
        self.inputs_and_outputs = library.inputs_and_outputs
        self.built = []

    def build(self, onnx, *, profiles=(), what, on_build=None):
        self.built.append(what)
        if on_build is not None:
            on_build(what, 0.0)
            on_build(what, 1.0)
        return onnx


class SlowTensorRtEngine(TensorRtEngine):
    device = staticmethod(SlowDevice)

    def _opened(self, index, library):
        return self.device(seed=index)

    def __init__(self, **options):
        super().__init__(**options)
        self._store.library = SlowLibrary(self._store.library)
