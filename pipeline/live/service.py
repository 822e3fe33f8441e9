"""All cameras and servers of one run of `demoire live`."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import ConfigError, DemoireError
from pipeline.live.camera import Camera
from pipeline.live.chain import Chain
from pipeline.live.control import LiveControl, Values
from pipeline.live.events import log_event
from pipeline.live.loop import LoopThread
from pipeline.live.rtsp.address import parse_address
from pipeline.live.rtsp.server import RtspServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engines.engine import Engine
    from pipeline.live.access import AudioTrack, Outlet
    from pipeline.live.config import LiveConfig, RecordConfig
    from pipeline.live.web.server import WebServer

Opened = TypeVar("Opened")

log = logging.getLogger(__name__)

_POLL_S = 0.25
_LOCAL = {"127.0.0.1", "::1", "localhost"}


class Service:
    """Runs what a configuration describes.

    Args:
        config: Checked.
        engines: By model, the one asked for first; they belong to the caller.
        say: Told what the user may want to open or copy: addresses, with the page's token.
    """

    def __init__(
        self, config: LiveConfig, engines: Mapping[str, Engine], *, say: Callable[[str], None]
    ) -> None:
        if not config.cameras:
            raise ConfigError("no SOURCE given; name one: demoire live rtsp://camera/1")
        self._config, self._say = config, say
        cleaned = all(engine.info.backend != "identity" for engine in engines.values())
        self._cameras = {
            name: Camera(
                name,
                camera,
                config.encode,
                engines=engines,
                control=self._control(cleaned=cleaned),
                max_delay_s=config.max_delay,
            )
            for name, camera in config.cameras.items()
        }
        self._closing = ExitStack()
        self._begun = False

    def run(self, stop: threading.Event) -> None:
        """Serve until stopped, or until every source that has an end has ended.

        Args:
            stop: Set it to end, within two seconds.

        Raises:
            DemoireError: An address cannot be had, or no encoder opens.
        """
        with self._closing:
            loop = LoopThread()
            self._closing.enter_context(loop)
            for camera in self._cameras.values():
                self._closing.callback(camera.close)
            chains = self._open_cameras(stop)
            if stop.is_set():
                return
            for name, chain in chains.items():
                self._open_outlets(name, chain, loop)
            if self._config.web is not None:
                self._open_page(chains, loop)
            if self._config.metrics is not None:
                self._open_metrics(loop)
            self._begun = True
            threads = [self._start(camera) for camera in self._cameras.values()]
            while not stop.wait(_POLL_S) and any(thread.is_alive() for thread in threads):
                pass
            self._end_cameras()
            for thread in threads:
                thread.join()

    def _control(self, *, cleaned: bool) -> LiveControl:
        config = self._config
        values = Values(strength=config.clean.strength, smoothing=config.smooth.seconds)
        return LiveControl(values, deband=config.smooth.deband, cleaned=cleaned)

    def _open_cameras(self, stop: threading.Event) -> dict[str, Chain]:
        """Open all at once: each may wait for its source."""
        with ThreadPoolExecutor(len(self._cameras)) as pool:
            opening = {
                name: pool.submit(camera.open, wait_s=self._config.wait)
                for name, camera in self._cameras.items()
            }
            while not all(future.done() for future in opening.values()):
                if stop.wait(_POLL_S):
                    self._end_cameras()
                    break
            return {name: future.result() for name, future in opening.items()}

    def _open_outlets(self, name: str, chain: Chain, loop: LoopThread) -> None:
        camera, config = self._cameras[name], self._config.cameras[name]
        self._closing.callback(camera.hub.close)
        if config.serve is not None:
            self._serve(camera, chain, loop, config.serve)
        for number, address in enumerate(config.publish):
            publisher = _with_sound(camera, chain, partial(_publisher, address, camera, chain))
            camera.hub.add(f"publish-{number}", publisher)
        if config.record is not None:
            recorder = _with_sound(camera, chain, partial(_recorder, config.record, chain))
            camera.hub.add("record", recorder)

    def _serve(self, camera: Camera, chain: Chain, loop: LoopThread, address: str) -> None:
        parsed = parse_address(address)

        def open_server(audio: AudioTrack | None) -> RtspServer:
            return RtspServer(parsed, chain.track, audio, request_key=camera.request_key, loop=loop)

        server = _with_sound(camera, chain, open_server)
        camera.hub.add("rtsp", server)
        camera.watch_viewers("rtsp", lambda: server.viewers)
        self._say(f"{camera.name}: {server.url}")

    def _open_page(self, chains: Mapping[str, Chain], loop: LoopThread) -> None:
        from pipeline.live.web import CameraView, WebServer

        host, port = split_address("--web", self._config.web or "")
        token = self._config.token
        if token is None and host not in _LOCAL:
            token = secrets.token_urlsafe(24)
        views = {
            name: CameraView(
                clean=chains[name].track,
                original=camera.open_original(),
                status=camera.status,
                control=camera.control,
                request_key=camera.request_key,
                on_viewers=camera.on_viewers,
            )
            for name, camera in self._cameras.items()
        }
        server = WebServer(loop, host, port, cameras=views, token=token)
        server.start()
        self._closing.callback(server.close)
        for name, camera in self._cameras.items():
            self._show(server, camera, name)
        self._say(f"page: {server.url}")

    def _show(self, server: WebServer, camera: Camera, name: str) -> None:
        camera.hub.add("web", server.outlet(name, "clean"))
        camera.show_original(server.outlet(name, "original").push)
        camera.watch_viewers("web", lambda: server.viewers(name))

    def _open_metrics(self, loop: LoopThread) -> None:
        from pipeline.live.metrics import MetricsServer

        host, port = split_address("--metrics", self._config.metrics or "")
        server = MetricsServer(
            loop,
            host,
            port,
            statuses=lambda: [camera.status() for camera in self._cameras.values()],
            ready=lambda: self._begun,
        )
        server.start()
        self._closing.callback(server.close)
        self._say(f"metrics: http://{host}:{server.port}/metrics")

    def _start(self, camera: Camera) -> threading.Thread:
        thread = threading.Thread(target=camera.run, name=f"demoire-{camera.name}", daemon=True)
        thread.start()
        return thread

    def _end_cameras(self) -> None:
        for camera in self._cameras.values():
            camera.stop()


def split_address(option: str, text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; an IPv6 host stands in brackets.

    Raises:
        ConfigError: It looks otherwise.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{option} {text}: must look like HOST:PORT, e.g. 127.0.0.1:8080")
    return host, int(port)


def _with_sound(
    camera: Camera, chain: Chain, open_outlet: Callable[[AudioTrack | None], Opened]
) -> Opened:
    """Return an outlet with the source's sound, or without it where it cannot hold that.

    Raises:
        DemoireError: It does not open without sound either.
    """
    if chain.audio is None:
        return open_outlet(None)
    try:
        return open_outlet(chain.audio)
    except DemoireError as error:
        opened = open_outlet(None)
        log_event(log, "sound.left_out", str(error), level=logging.WARNING, camera=camera.name)
        return opened


def _publisher(address: str, camera: Camera, chain: Chain, audio: AudioTrack | None) -> Outlet:
    from pipeline.live.outlets.publish import Publisher

    return Publisher(address, chain.track, audio, request_key=camera.request_key)


def _recorder(record: RecordConfig, chain: Chain, audio: AudioTrack | None) -> Outlet:
    from pipeline.live.outlets.record import Recorder

    return Recorder(
        record.path, chain.track, audio, segment_s=record.segment, max_segments=record.keep
    )


def smaller_models(model: str, shipped: Iterable[str]) -> tuple[str, ...]:
    """Return the models to have ready: the one asked for, and `nano` if it is another."""
    return (model, "nano") if model != "nano" and "nano" in shipped else (model,)
