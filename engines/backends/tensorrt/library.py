"""The TensorRT that is installed: one code for `tensorrt` 10 and 11 and `tensorrt_rtx`.

Only what all of them have is used. Precision is the graph's own types (`STRONGLY_TYPED`, and
TensorRT 11 has no other way), and what the parser made of them is looked at before anything is
built.
"""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from engines.engine import OnBuild
from engines.errors import EngineError

_log = logging.getLogger(__name__)

Choice = Literal["auto", "tensorrt", "tensorrt_rtx"]

Range = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""The least, the usual and the largest size of an input."""

Profile = Mapping[str, Range]
"""Sizes for which kernels are chosen together, by input."""

# The second is the first without a wrapper package that only re-exports it.
_MODULES: Mapping[Choice, tuple[str, ...]] = {
    "auto": ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"),
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
_ALMOST = 0.99
"""Of the work, before the engine is there."""
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.DEBUG, logging.DEBUG)


class Library:
    """TensorRT as a module.

    Args:
        choice: Which one; `auto` is the first that can be imported.

    Raises:
        EngineError: None can be.
    """

    name: str
    """`tensorrt 11.0.0.114`, `tensorrt_rtx 1.7.1.116`."""

    def __init__(self, choice: Choice = "auto") -> None:
        self.trt = _imported(choice)
        self.is_rtx = "rtx" in self.trt.__name__
        self.name = f"{'tensorrt_rtx' if self.is_rtx else 'tensorrt'} {self.trt.__version__}"
        self.logger = _logger(self.trt)

    def build(
        self,
        onnx: bytes,
        *,
        profiles: Sequence[Profile] = (),
        what: str,
        on_build: OnBuild | None = None,
    ) -> bytes:
        """Compile a graph for the current device; TensorRT-RTX needs none.

        Args:
            onnx: The graph.
            profiles: Ranges of its free sizes; none where all are fixed.
            what: The result in words, for progress and errors.
            on_build: Told how far it is.

        Raises:
            EngineError: TensorRT refuses it; the message has the reason it gives.
        """
        builder, network = self._parsed(onnx, what)
        config = builder.create_builder_config()
        for profile in profiles:
            added = builder.create_optimization_profile()
            for name, sizes in profile.items():
                added.set_shape(name, *sizes)
            if config.add_optimization_profile(added) < 0:
                raise EngineError(f"{self.name}: {what}: refuses the sizes {dict(profile)}")
        config.profiling_verbosity = self.trt.ProfilingVerbosity.DETAILED
        # What is left in float32 is there for exactness.
        config.clear_flag(self.trt.BuilderFlag.TF32)
        progress = _BuildProgress(what, on_build)
        monitor = _monitor(self.trt, progress)  # not kept alive by the config
        config.progress_monitor = monitor
        self.logger.last = ""
        progress.say(0.0)
        plan = builder.build_serialized_network(network, config)
        if progress.error is not None:
            raise progress.error
        if plan is None:
            raise EngineError(f"{self.name}: {what} cannot be built: {self.logger.last}")
        progress.say(1.0)
        return bytes(plan)

    def precision(self, onnx: bytes, what: str) -> str:
        """Return what a graph's convolutions compute in, as the parser reads it: `f16` or `f32`.

        Raises:
            EngineError: TensorRT cannot read it.
        """
        _, network = self._parsed(onnx, what)
        layers = (network.get_layer(index) for index in range(network.num_layers))
        kind, names = self.trt.LayerType.CONVOLUTION, {"HALF": "f16", "FLOAT": "f32"}
        found = Counter(layer.get_output(0).dtype.name for layer in layers if layer.type == kind)
        return "+".join(names.get(name, name) for name in sorted(found))

    def inputs_and_outputs(self, onnx: bytes, what: str) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return element type and size, -1 where it is free, of each input and output of a graph.

        Raises:
            EngineError: TensorRT cannot read it.
        """
        _, network = self._parsed(onnx, what)
        tensors = [network.get_input(index) for index in range(network.num_inputs)]
        tensors += [network.get_output(index) for index in range(network.num_outputs)]
        return {t.name: (type_name(t.dtype), tuple(t.shape)) for t in tensors}

    def _parsed(self, onnx: bytes, what: str) -> tuple[Any, Any]:
        """Return a builder and the network that the parser makes of a graph."""
        builder = self.trt.Builder(self.logger)
        flags = 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flags)
        parser = self.trt.OnnxParser(network, self.logger)
        if not parser.parse(onnx):
            said = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
            raise EngineError(f"{self.name}: {what} cannot be read: {said}")
        return builder, network


def type_name(dtype: Any) -> str:  # noqa: ANN401 (a TensorRT enumeration)
    """Return `uint8` or `float32` for TensorRT's element types, its own name for any other."""
    name: str = dtype.name
    return {"UINT8": "uint8", "FLOAT": "float32"}.get(name, name)


def _imported(choice: Choice) -> Any:  # noqa: ANN401 (a module without type information)
    reasons = []
    for name in _MODULES[choice]:
        try:
            return importlib.import_module(name)
        except ImportError as error:  # also where only the libraries are missing
            reasons.append(str(error))
    raise EngineError(
        f"no TensorRT can be imported ({'; '.join(reasons)}): pip install 'demoire[trt-rtx]' for a"
        " GeForce RTX, 'demoire[tensorrt]' for other NVIDIA GPUs"
    )


def _logger(trt: Any) -> Any:  # noqa: ANN401
    """Return a logger for TensorRT that speaks through Python's."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.last = ""
            """The last error, for a message that names the reason."""

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            level = _LEVELS[int(severity)]
            if level >= logging.ERROR:
                self.last = message
            # Errors come back as exceptions; what TensorRT says on the way is detail.
            _log.log(min(level, logging.INFO), "%s", message)

    return Logger()


class _BuildProgress:
    """The share of a build that is done, from phases that are nested.

    Each phase is a part of one step of the phase around it.
    """

    def __init__(self, what: str, on_build: OnBuild | None) -> None:
        self.error: BaseException | None = None
        """What `on_build` raised; nothing is told after it."""
        self._what, self._on_build = what, on_build
        self._parents: dict[str, str | None] = {}
        self._steps: dict[str, tuple[int, int]] = {}
        self._said = -1.0

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        self._parents[phase] = parent
        self._steps[phase] = (0, max(1, steps))

    def step(self, phase: str, number: int) -> None:
        _, count = self._steps.get(phase, (0, 1))
        self._steps[phase] = (min(number, count), count)
        self.say(min(_ALMOST, self._share(phase, 0.0)))

    def say(self, share: float) -> None:
        """Tell how far it is, unless more has been told."""
        if self._on_build is None or share <= self._said or self.error is not None:
            return
        self._said = share
        try:
            self._on_build(self._what, share)
        except BaseException as error:  # noqa: BLE001 - C++ is below: it is raised above that
            self.error = error

    def _share(self, phase: str, inner: float) -> float:
        done, count = self._steps[phase]
        share = min(1.0, (done + inner) / count)
        parent = self._parents.get(phase)
        return share if parent not in self._steps else self._share(parent, share)


def _monitor(trt: Any, progress: _BuildProgress) -> Any:  # noqa: ANN401
    """Return what TensorRT tells of a build; it stops the build after an error."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.begin(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step(phase_name, step + 1)
            return progress.error is None

        def phase_finish(self, phase_name: str) -> None:
            """The phase around it says so with its next step."""

    return Monitor()
