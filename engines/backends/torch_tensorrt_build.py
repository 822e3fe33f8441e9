"""A network as one TensorRT engine in an exported program: made, looked at, kept, loaded again.

The module's own types are the engine's (TensorRT 11 has no other way), so a network in half
precision is what is exported. Torch-TensorRT's own cache is left off: its key knows neither
weights nor GPU nor versions.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from engines.backends.torch_network import DTYPES, first_line, out_of_memory, precision_of
from engines.cache import EngineCache, Origin
from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.engine import OnBuild
    from engines.models.network import Network

_log = logging.getLogger(__name__)

LEAST_TILES = 2
"""Multiples of the network's that a picture measures at least: its coarsest scale would be one
sample, which an export takes for a case of its own."""
_USUAL = (1080, 1920)
"""Luma (H, W) that kernels are chosen for."""
_FIRST_STEPS = 0.05
"""Share of a build that the export takes."""

_Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Profile:
    """Sizes that an engine takes: luma height and width are multiples, each of its own."""

    multiple: int
    most_tiles: int
    """Multiples in the largest height and width."""
    batch: int
    """Most pictures at once."""

    @property
    def least(self) -> int:
        """Smallest height and width of luma."""
        return LEAST_TILES * self.multiple

    @property
    def most(self) -> int:
        """Largest height and width of luma."""
        return self.most_tiles * self.multiple

    def ranges(self) -> list[tuple[_Shape, _Shape, _Shape]]:
        """Return the smallest, the usual and the largest shape of Y, U and V."""
        usual = [min(-(-side // self.multiple) * self.multiple, self.most) for side in _USUAL]
        corners = (
            self.shapes(1, self.least, self.least),
            self.shapes(self.batch, *usual),
            self.shapes(self.batch, self.most, self.most),
        )
        return list(zip(*corners, strict=True))

    def shapes(self, batch: int, height: int, width: int) -> tuple[_Shape, _Shape, _Shape]:
        """Return the shapes of Y, U and V for luma of a height and width."""
        chroma = (batch, 1, height // 2, width // 2)
        return (batch, 1, height, width), chroma, chroma

    def example(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
        """Return a view to export with, its sizes unlike each other and unlike one."""
        height, width = self.least, min(3, self.most_tiles) * self.multiple
        shapes = self.shapes(min(2, self.batch), height, width)
        return tuple(torch.full(shape, 0.5, dtype=dtype, device=device) for shape in shapes)

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """Return the dimensions that vary, shared by Y, U and V."""
        rows, columns = (
            Dim(name, min=LEAST_TILES, max=self.most_tiles) for name in ("rows", "columns")
        )
        half = self.multiple // 2
        luma = {2: self.multiple * rows, 3: self.multiple * columns}
        chroma = {2: half * rows, 3: half * columns}
        if self.batch > 1:
            luma[0] = chroma[0] = Dim("pictures", min=1, max=self.batch)
        return luma, dict(chroma), dict(chroma)


class Compiler(Protocol):
    """What makes an engine of an exported program."""

    versions: Mapping[str, str]
    """Of all that decides what comes out, by name."""

    def build(self, program: ExportedProgram, profile: Profile) -> bytes:
        """Return an exported program, serialized, whose only operator is one engine.

        Raises:
            RuntimeError: A part of it cannot be compiled, or the device has too little memory.
        """
        ...

    def load(self, content: bytes) -> ExportedProgram:
        """Return a program that was built.

        Raises:
            RuntimeError: It is not for this device or these versions.
            ValueError: It is no such program.
        """
        ...


def export_network(network: Network, profile: Profile) -> ExportedProgram:
    """Return the network as it is, in its own precision, for all sizes of a profile."""
    weights = next(network.parameters())
    return torch.export.export(
        network,
        profile.example(weights.dtype, weights.device),
        dynamic_shapes=profile.dynamic_shapes(),
    )


def engine_precision(program: ExportedProgram) -> str:
    """Return the precision of the engine that a program consists of, read from its ends.

    Raises:
        EngineError: A part of the network was left to torch, or its ends differ in type.
    """
    operators, ends = [], set()
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and isinstance(value, Tensor):
            ends.add(value.dtype)
        elif node.op == "call_function" and isinstance(value, Tensor | list | tuple):
            operators.append(str(node.target))
            if isinstance(value, Tensor):
                ends.add(value.dtype)
    others = {name for name in operators if "execute_engine" not in name and "getitem" not in name}
    if others or not any("execute_engine" in name for name in operators):
        raise EngineError(
            "torch-tensorrt: the network was not compiled as a whole; left to torch:"
            f" {', '.join(sorted(others)) or 'everything'}"
        )
    names = [name for name, dtype in DTYPES.items() if {dtype} == ends]
    if not names:
        raise EngineError(f"torch-tensorrt: the engine mixes {sorted(map(str, ends))}")
    return names[0]


class EngineStore:
    """One network's engine: from the cache, else built.

    Args:
        network: In the precision and on the device that it is compiled for.
        profile: Sizes that it takes.
        compiler: Makes it.
        cache: Keeps it.
        on_build: See `engines.engine.OnBuild`.
    """

    def __init__(
        self,
        network: Network,
        profile: Profile,
        *,
        compiler: Compiler,
        cache: EngineCache,
        on_build: OnBuild | None,
    ) -> None:
        self._network = network
        self._profile = profile
        self._compiler = compiler
        self._cache = cache
        self._on_build = on_build or _unheard
        self._content: bytes | None = None

    def load(self, origin: Origin, *, what: str) -> tuple[nn.Module, str]:
        """Return an engine of one's own, as a module of the network's interface, and its precision.

        Each call loads another one: an engine has memory to compute in, which two sessions would
        overwrite for each other.

        Args:
            origin: What it is built of.
            what: The engine in words.

        Raises:
            EngineError: It cannot be built, or not as one engine of the network's precision.
            RuntimeError: The device has too little memory.
        """
        content = self._content or self._cache.load(origin)
        if content is not None:
            try:
                return self._checked(content)
            except (RuntimeError, ValueError, EngineError) as error:
                if out_of_memory(error):
                    raise
                self._cache.discard(origin, because=f"is refused: {first_line(error)}")
        self._content = None
        return self._built(origin, what=what)

    def _checked(self, content: bytes) -> tuple[nn.Module, str]:
        program = self._compiler.load(content)
        found, wanted = engine_precision(program), precision_of(self._network)
        if found != wanted:
            raise EngineError(f"torch-tensorrt: the engine is in {found}, not in {wanted}")
        self._content = content
        return program.module(), found

    def _built(self, origin: Origin, *, what: str) -> tuple[nn.Module, str]:
        _log.info("torch-tensorrt: building %s; it takes minutes, and is kept", what)
        self._on_build(what, 0.0)
        try:
            program = export_network(self._network, self._profile)
            self._on_build(what, _FIRST_STEPS)
            content = self._compiler.build(program, self._profile)
            built = self._checked(content)
        except EngineError:
            raise
        except Exception as error:  # Converters raise whatever they stumble over.
            if out_of_memory(error):
                raise
            raise EngineError(
                f"torch-tensorrt: {what} cannot be built: {first_line(error)}"
            ) from error
        self._cache.store(origin, content, what=what)
        self._on_build(what, 1.0)
        return built


def weights_digest(network: nn.Module) -> str:
    """Return a digest of a network's structure and weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def _unheard(what: str, share: float) -> None:
    """Nobody asked."""
    del what, share
