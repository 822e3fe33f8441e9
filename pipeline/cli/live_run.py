"""What `demoire live` does."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from engines.backends import create_engine
from engines.models import SHIPPED
from pipeline.cli.building import BuildWatch
from pipeline.cli.console import say
from pipeline.cli.interrupt import stop_on_interrupt
from pipeline.cli.progress import QuietDisplay
from pipeline.errors import ConfigError, SourceError
from pipeline.live.events import event_handler
from pipeline.live.service import Service, smaller_models
from pipeline.live.sources import scheme_of
from pipeline.live.web.listening import need_live

if TYPE_CHECKING:
    from engines.engine import Engine
    from pipeline.live.config import LiveConfig

_SWITCH_S = 0.0005
"""Every native call waits for up to this long for Python's lock: 5 ms is a third of a picture."""


def run_live(config: LiveConfig, *, debug: bool) -> None:
    """Serve until interrupted.

    Raises:
        DemoireError: There is no source or nowhere to send it, or a part cannot begin.
    """
    _check(config)
    _log_events(config, debug=debug)
    sys.setswitchinterval(_SWITCH_S)
    cv2.setNumThreads(1)  # pictures are worked on by threads of our own
    with ExitStack() as closing, stop_on_interrupt(after="the picture on its way") as stop:
        engines = _open_engines(config)
        for engine in engines.values():
            closing.callback(engine.close)
        Service(config, engines, say=say).run(stop)


def _check(config: LiveConfig) -> None:
    """Raise unless somebody gets to see something, before anything slow is begun."""
    if not config.cameras:
        raise ConfigError("no SOURCE given; name one, or --config FILE: demoire live rtsp://cam/1")
    if config.web is not None:
        need_live("--web", "aiohttp")
    if config.metrics is not None:
        need_live("--metrics", "aiohttp", "prometheus_client")
    for name, camera in config.cameras.items():
        if not (camera.serve or camera.publish or camera.record or config.web):
            raise ConfigError(
                f"{name}: nowhere to send the picture; add --serve, --publish, --record or --web"
            )
        # A camera may come later; a name with a mistake in it never will.
        if scheme_of(camera.source) == "file" and not Path(camera.source).exists():
            raise SourceError(f"{camera.source}: no such file; check the name")


def _log_events(config: LiveConfig, *, debug: bool) -> None:
    handler = event_handler(config.log)
    for package in ("pipeline", "engines"):
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(logging.DEBUG if debug else logging.INFO)


def _open_engines(config: LiveConfig) -> dict[str, Engine]:
    """Return the engine asked for, and a smaller network's for when it is too slow."""
    wanted = config.engine
    watch = BuildWatch(QuietDisplay().build)

    def opened(model: str) -> Engine:
        return create_engine(
            wanted.name,
            model=model,
            options=wanted.options,
            device=wanted.device,
            requests=1,
            on_build=watch,
        )

    engines = {wanted.model: opened(wanted.model)}
    if engines[wanted.model].info.backend == "identity":
        return engines
    for model in smaller_models(wanted.model, SHIPPED)[1:]:
        engines[model] = opened(model)
    return engines
