"""From a module to a session that holds all the memory it needs, or a sentence about why not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from engines.backends.torch_buffers import PlaneBlock
from engines.backends.torch_cuda import CudaLanes, CudaSession, captured, warm_up
from engines.backends.torch_lanes import HostLanes, Lane
from engines.backends.torch_network import Choice, Cleaning, attempt, first_line, out_of_memory
from engines.backends.torch_program import Program, Shapes, Work
from engines.backends.torch_session import TorchSession
from engines.engine import PictureFormat, Smoothing
from engines.errors import DeviceMemoryError, EngineError
from engines.smooth.reference import Part

_DEPTH_CUDA = 3
"""Requests in flight: one is copied in, one computed, one copied out."""


@dataclass(frozen=True)
class Opening:
    """What a session is opened with."""

    backend: str
    """Key in `BACKENDS`."""
    device: torch.device
    format: PictureFormat
    shapes: Shapes
    batch: int
    requests: int | None
    """In flight; None is one where nothing overlaps, three on CUDA."""
    smoothing: Smoothing | None
    flags: Callable[[], AbstractContextManager[None]]
    """Makes the context in which torch picks its algorithms."""
    graph: Choice
    """Whether the program is captured as a CUDA graph."""

    @property
    def depth(self) -> int:
        """Requests in flight."""
        return self.requests or (_DEPTH_CUDA if self.device.type == "cuda" else 1)


@dataclass(frozen=True)
class Opened:
    """A session, and how it computes."""

    session: TorchSession
    how: str
    """In words: `eager` or `compiled`, and `CUDA graph`."""


@dataclass(frozen=True)
class Candidates:
    """A module, and what may be made of it."""

    plain: Callable[[], Cleaning]
    compiled: Callable[[], Cleaning]
    """Makes the same by `torch.compile`; `RuntimeError` is raised by it or by what it made."""
    choice: Choice
    """Which of them is used, see `attempt`."""


def open_session(opening: Opening, candidates: Candidates) -> Opened:
    """Return a session that has computed once, where that is not done on a CPU.

    Raises:
        DeviceMemoryError: There is too little memory.
        EngineError: The device failed, or what was insisted on does not work there.
    """
    where = f"{opening.batch} picture(s) of {opening.format} on {opening.device}"
    cuda = opening.device.type == "cuda"
    if opening.graph == "on" and not cuda:
        raise EngineError(
            f"{opening.backend}: graph=on needs a CUDA device, got device {opening.device};"
            " use graph=auto"
        )
    try:
        return _on_cuda(opening, candidates) if cuda else _elsewhere(opening, candidates)
    except RuntimeError as error:
        reason = first_line(error)
        if not out_of_memory(error):
            raise EngineError(f"{opening.backend}: {where}: {reason}") from error
    # After the handler: the error's traceback holds whatever was allocated on the way, and who
    # catches this one tries again with less.
    if cuda:
        torch.cuda.empty_cache()
    raise DeviceMemoryError(
        f"{opening.backend}: too little memory for {where}: {reason}; take fewer pictures at a"
        " time (engine.options.batch) or smaller ones"
    )


def _on_cuda(opening: Opening, candidates: Candidates) -> Opened:
    lanes = CudaLanes(opening.device)
    with torch.cuda.device(opening.device):

        def warm(cleaning: Cleaning, how: str) -> tuple[Program, str]:
            program = _program(opening, cleaning)
            warm_up(program, lanes, "compute")
            return program, how

        def graph(part: Part, lane: Lane) -> Part:
            return attempt(
                lambda: captured(part, lanes, lane),
                lambda: part,
                choice=opening.graph,
                what="graph (a CUDA graph)",
            )

        def keep(part: Part) -> Part:
            warm_up(part, lanes, "smooth")
            return graph(part, "smooth")

        program, how = _compiled_or_not(candidates, warm)
        run = graph(program, "compute")
        if run is not program:
            how += ", CUDA graph"
        session = CudaSession(
            _work(opening, program, run),
            lanes,
            depth=opening.depth,
            smoothing=opening.smoothing,
            keep=keep,
        )
        torch.cuda.synchronize(opening.device)
    return Opened(session, how)


def _elsewhere(opening: Opening, candidates: Candidates) -> Opened:
    def ready(cleaning: Cleaning, how: str) -> tuple[Program, str]:
        program = _program(opening, cleaning)
        if how == "compiled":
            program()  # which is when it is compiled
        return program, how

    program, how = _compiled_or_not(candidates, ready)
    work = _work(opening, program, program)
    lanes = HostLanes(opening.device)
    session = TorchSession(work, lanes, depth=opening.depth, smoothing=opening.smoothing)
    return Opened(session, how)


def _compiled_or_not(
    candidates: Candidates, ready: Callable[[Cleaning, str], tuple[Program, str]]
) -> tuple[Program, str]:
    return attempt(
        lambda: ready(candidates.compiled(), "compiled"),
        lambda: ready(candidates.plain(), "eager"),
        choice=candidates.choice,
        what="compile (torch.compile)",
    )


def _program(opening: Opening, cleaning: Cleaning) -> Program:
    dtype = torch.uint8 if opening.format.bits == 8 else torch.uint16
    source, target = (
        PlaneBlock(opening.shapes, opening.batch, dtype=dtype, device=opening.device)
        for _ in range(2)
    )
    return Program(cleaning, source, target, flags=opening.flags)


def _work(opening: Opening, program: Program, run: Callable[[], None]) -> Work:
    return Work(
        opening.format,
        opening.shapes,
        opening.batch,
        program=program,
        run=run,
        backend=opening.backend,
    )
