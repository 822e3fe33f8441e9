"""Back ends by name: one module each, imported only when it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from engines.backends import nvidia
from engines.engine import BACKENDS, Engine, EngineInfo, OnBuild, PictureFormat, Planes
from engines.errors import EngineError
from engines.fitting.engine import FittingEngine

_log = logging.getLogger(__name__)

_TRIAL = PictureFormat("420", 8, 64, 64)

Options = Mapping[str, object]


class _Wish(NamedTuple):
    """What is wanted of whatever back end opens, see `create_engine`."""

    model: str
    device: str | None = None
    requests: int | None = None
    on_build: OnBuild | None = None


@dataclass(frozen=True)
class Candidate:
    """A back end that `auto` tries."""

    backend: str
    """A key of `BACKENDS`."""
    options: Options = field(default_factory=dict)
    needs_gpu: bool = False
    """Left out, unimported, where there is no NVIDIA GPU."""

    def __str__(self) -> str:
        device = self.options.get("device")
        return self.backend if device is None else f"{self.backend} on {device}"


AUTO = (
    Candidate("tensorrt", needs_gpu=True),
    Candidate("torch", {"device": "cuda"}, needs_gpu=True),
    Candidate("openvino"),
    Candidate("torch", {"device": "cpu"}),
)
"""What `auto` tries, the fastest first. A back end that is not in `BACKENDS` is passed over."""


def create_engine(
    name: str = "auto",
    *,
    model: str = "nano",
    options: Options | None = None,
    device: str | None = None,
    requests: int | None = None,
    on_build: OnBuild | None = None,
) -> Engine:
    """Return an engine that has cleaned one small picture.

    Where a device has too little memory for a picture, the engine opens a session of fewer or of
    parts, see `engines.fitting`.

    Args:
        name: A key of `BACKENDS`, or `auto` for the first of `AUTO` that works, which is logged,
            with why not the ones before.
        model: A name in `engines.models.MODELS`, or a path to an exported model.
        options: The back end's own options.
        device: The back end's option of that name, or several with commas between them: `1`,
            `0,1`, `cuda:0,cuda:1`. With several there is an engine on each, see `engines.several`.
        requests: Most in flight, unless `options` says: 1 where each is waited for, and all of the
            device should work on it. Default: as many as keep it busy.
        on_build: Told how far the building of engines is, by back ends that build some.

    Raises:
        EngineError: The back end does not open, or under `auto` none does.
    """
    options = options or {}
    if device is not None and "device" in options:
        raise EngineError(
            f"the device is given twice, as engine.device={device} and as"
            f" engine.options.device={options['device']}; leave one of them out"
        )
    wish = _Wish(model, device, requests, on_build)
    if name != "auto":
        return _open_on(name, options, wish)
    if options:
        raise EngineError(
            f"engine.options ({', '.join(options)}) belong to one back end, but engine is auto;"
            f" name one of {', '.join(BACKENDS)}"
        )
    return _first_that_opens(wish)


def probe_backends(*, model: str = "nano") -> list[tuple[str, EngineInfo | str]]:
    """Return each back end's info if it cleans one small picture, else why it does not.

    One that `auto` tries on several devices is there once for each, with the device in its name.
    """
    candidates = [candidate for candidate in AUTO if candidate.backend in BACKENDS]
    tried = {candidate.backend for candidate in candidates}
    candidates += [Candidate(name) for name in BACKENDS if name not in tried]
    no_gpu = _gpu_fault()
    found: list[tuple[str, EngineInfo | str]] = []
    for candidate in candidates:
        if candidate.needs_gpu and no_gpu is not None:
            found.append((str(candidate), no_gpu))
            continue
        try:
            engine = _open(candidate.backend, candidate.options, _Wish(model))
        except EngineError as error:
            found.append((str(candidate), str(error)))
        else:
            found.append((str(candidate), engine.info))
            engine.close()
    return found


def builds(name: str) -> bool:
    """Return whether a back end's engines are built and kept on disk.

    Raises:
        EngineError: There is no such back end, or it cannot be imported.
    """
    return bool(getattr(_engine_class(name), "builds", False))


def _first_that_opens(wish: _Wish) -> Engine:
    no_gpu = _gpu_fault()
    reasons = []
    for candidate in AUTO:
        if candidate.backend not in BACKENDS:
            continue
        if candidate.needs_gpu and no_gpu is not None:
            reasons.append(f"{candidate}: {no_gpu}")
            continue
        # A device that was asked for is the candidate's, or it does not open.
        options = dict(candidate.options)
        if wish.device is not None:
            options.pop("device", None)
        try:
            engine = _open_on(candidate.backend, options, wish)
        except EngineError as error:
            _log.info("engine %s does not open: %s", candidate, error)
            reasons.append(f"{candidate}: {error}")
        else:
            because = f"; no GPU: {no_gpu}" if no_gpu is not None else ""
            _log.info("engine %s: %s%s", candidate.backend, engine.info, because)
            return engine
    raise EngineError(f"no back end opens with model {wish.model!r}; {'; '.join(reasons)}")


def _gpu_fault() -> str | None:
    """Return why no GPU can be used; None where there is one."""
    try:
        nvidia.gpu_names()
    except EngineError as error:
        return str(error)
    return None


def _open_on(name: str, options: Options, wish: _Wish) -> Engine:
    """Open a back end on the device asked for, or on each of several."""
    if wish.device is None:
        return _open(name, options, wish)
    from engines.several import Device, SeveralEngine, naming

    names = [part.strip() for part in wish.device.split(",")]
    if not all(names):
        raise EngineError(
            f"engine.device={wish.device!r}: must be a device, or several with commas between"
            " them, as 0,1"
        )
    with ExitStack() as undo:
        devices = []
        for one in names:
            with naming(one):
                engine = _open(name, {**options, "device": one}, wish)
            undo.callback(engine.close)
            devices.append(Device(one, engine))
        undo.pop_all()
    return devices[0].engine if len(devices) == 1 else SeveralEngine(devices)


def _open(name: str, options: Options, wish: _Wish) -> FittingEngine:
    """Construct a back end and run one picture through it."""
    kind = _engine_class(name)
    given: dict[str, object] = {}
    if wish.requests is not None and getattr(kind, "overlaps", False):
        given["requests"] = wish.requests
    given |= options
    if getattr(kind, "builds", False):
        given["on_build"] = wish.on_build
    engine: Engine = kind(model=wish.model, **given)
    try:
        batch = _try(engine)
    except BaseException:
        engine.close()
        raise
    return FittingEngine(engine, batch=batch)


def _engine_class(name: str) -> Any:  # noqa: ANN401 (constructors take options of their own)
    if name not in BACKENDS:
        raise EngineError(f"engine {name!r}: not one of auto, {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    return getattr(import_module(module), attribute)


def _try(engine: Engine) -> int:
    """Run one picture and return how many a request takes."""
    session = engine.open(_TRIAL)
    try:
        planes: Planes = tuple(np.full(shape, 128, np.uint8) for shape in _TRIAL.plane_shapes)
        session.submit([planes]).result()
        return session.batch
    finally:
        session.close()
