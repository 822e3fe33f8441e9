"""Back ends by name: one module each, imported only when it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module

import numpy as np

from engines.engine import BACKENDS, Engine, EngineInfo, PictureFormat, Planes
from engines.errors import EngineError

_log = logging.getLogger(__name__)

_TRIAL = PictureFormat("420", 8, 64, 64)


def create_engine(
    name: str = "auto", *, model: str = "nano", options: Mapping[str, object] | None = None
) -> Engine:
    """Return an engine that has cleaned one small picture.

    Args:
        name: A key of `BACKENDS`, or `auto` for the first of them that works; `auto` never takes
            `identity`, and logs what it took and why not the ones before.
        model: A name in `engines.models.MODELS`, or a path to an exported model.
        options: The back end's own options.

    Raises:
        EngineError: The back end does not open, or under `auto` none does.
    """
    options = options or {}
    if name != "auto":
        return _open(name, model, options)
    if options:
        raise EngineError(
            f"engine.options ({', '.join(options)}) belong to one back end, but engine is auto;"
            f" name one of {', '.join(BACKENDS)}"
        )
    reasons = []
    for candidate in BACKENDS:
        if candidate == "identity":
            continue
        try:
            engine = _open(candidate, model, options)
        except EngineError as error:
            _log.info("engine %s does not open: %s", candidate, error)
            reasons.append(f"{candidate}: {error}")
        else:
            _log.info("engine %s: %s", candidate, engine.info)
            return engine
    raise EngineError(f"no back end opens with model {model!r}; {'; '.join(reasons)}")


def probe_backends(*, model: str = "nano") -> list[tuple[str, EngineInfo | str]]:
    """Return each back end's info if it cleans one small picture, else why it does not."""
    found: list[tuple[str, EngineInfo | str]] = []
    for name in BACKENDS:
        try:
            engine = _open(name, model, {})
        except EngineError as error:
            found.append((name, str(error)))
        else:
            found.append((name, engine.info))
            engine.close()
    return found


def _open(name: str, model: str, options: Mapping[str, object]) -> Engine:
    """Construct a back end and run one picture through it."""
    if name not in BACKENDS:
        raise EngineError(f"engine {name!r}: not one of auto, {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    engine: Engine = getattr(import_module(module), attribute)(model=model, **options)
    session = engine.open(_TRIAL)
    try:
        planes: Planes = tuple(np.full(shape, 128, np.uint8) for shape in _TRIAL.plane_shapes)
        session.submit([planes]).result()
    finally:
        session.close()
    return engine
