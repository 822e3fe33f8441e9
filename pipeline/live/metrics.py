"""Figures for Prometheus, and answers for those who watch over the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from pipeline import __version__
from pipeline.live.redaction import mask
from pipeline.live.status import SourceState, Status
from pipeline.live.web.listening import Listener, LoopRunner, need_live, open_sockets

if TYPE_CHECKING:
    from aiohttp import web
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Statuses = Callable[[], Sequence[Status]]

_OPTION = "--metrics"
_CONNECTIONS = 64


class MetricsServer:
    """Serves `/metrics`, `/healthz` and `/readyz`.

    Args:
        loop: Runs the server; every server of the process may share it.
        host: Address or name to listen on.
        port: 0 takes a free one.
        statuses: Every camera as it is now; called in the loop's thread at each scrape, so it
            must be quick.
        ready: Whether the program has started all of its parts. A camera that has not put out a
            picture makes `/readyz` say no regardless.

    Raises:
        EngineError: aiohttp or prometheus-client is not installed.
    """

    def __init__(
        self,
        loop: LoopRunner,
        host: str,
        port: int,
        *,
        statuses: Statuses,
        ready: Callable[[], bool],
    ) -> None:
        need_live(_OPTION, "aiohttp", "prometheus_client")
        self._loop = loop
        self._host, self._port = host, port
        self._statuses = statuses
        self._ready = ready
        self._registry = _registry(statuses)
        self._listener: Listener | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            SinkError: The address cannot be had.
        """
        sockets = open_sockets(_OPTION, self._host, self._port)
        self._port = sockets[0].getsockname()[1]
        self._listener = Listener(self._application(), sockets, connections=_CONNECTIONS)
        self._loop.call(self._listener.open())

    @property
    def port(self) -> int:
        """Where it listens; the one that was taken, once started with 0."""
        return self._port

    def close(self) -> None:
        """End within a second; twice is once."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.call(listener.close())

    def _application(self) -> web.Application:
        from aiohttp import web

        application = web.Application(client_max_size=4096)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        return application

    async def _metrics(self, request: web.Request) -> web.Response:
        from aiohttp import web
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._registry),
            headers={"Content-Type": content_type, "Cache-Control": "no-store"},
        )

    async def _health(self, _: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text="ok\n", headers={"Cache-Control": "no-store"})

    async def _readiness(self, _: web.Request) -> web.Response:
        from aiohttp import web

        waiting = {
            mask(status.camera): {"state": status.state, "error": mask(status.error)}
            for status in self._statuses()
            if status.frames_out == 0
        }
        ready = self._ready() and not waiting
        return web.json_response(
            {"ready": ready, "waiting": waiting},
            status=200 if ready else 503,
            headers={"Cache-Control": "no-store"},
        )


def _registry(statuses: Statuses) -> CollectorRegistry:
    """Return a registry of its own: the library's global one would be shared by every server."""
    from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

    # auto_describe is off: it would ask for the statuses here, before there are any.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(statuses))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@dataclass(frozen=True)
class _Figure:
    """A metric, and how one status fills it."""

    name: str
    help: str
    labels: tuple[str, ...]
    """Beside `camera`."""
    read: Callable[[Status], dict[tuple[str, ...], float | None]]
    """Values by those labels; None is left out."""
    counts: bool = False
    """Whether it only rises: a counter, not a gauge."""


def _one(value: float | None) -> dict[tuple[str, ...], float | None]:
    return {(): value}


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


_FIGURES = (
    _Figure("frames_in", "Pictures that came from the source.", (),
            lambda s: _one(s.frames_in), counts=True),
    _Figure("frames_out", "Pictures put out.", (),
            lambda s: _one(s.frames_out), counts=True),
    _Figure("frames_dropped", "Pictures left out because the chain could not keep up.", (),
            lambda s: _one(s.dropped), counts=True),
    _Figure("frames_repeated", "Pictures shown again because no new one came.", (),
            lambda s: _one(s.repeated), counts=True),
    _Figure("reconnects", "How often the source was opened again.", (),
            lambda s: _one(s.reconnects), counts=True),
    _Figure("step_changes", "How often the step of the ladder changed.", (),
            lambda s: _one(s.steps), counts=True),
    _Figure("uptime_seconds", "Seconds since this camera's chain began.", (),
            lambda s: _one(s.uptime_s)),
    _Figure("source_state", "1 for the state that the source is in, 0 for the others.", ("state",),
            lambda s: {(state,): state == s.state for state in get_args(SourceState)}),
    _Figure("source_state_seconds", "Seconds since the source's state began.", (),
            lambda s: _one(s.state_s)),
    _Figure("frame_rate_hertz", "Pictures per second over the last second or two.", ("stage",),
            lambda s: {("in",): s.fps_in, ("out",): s.fps_out}),
    _Figure("delay_seconds", "From a picture's arrival to its encoded form.", ("quantile",),
            lambda s: {("0.5",): _seconds(s.delay_ms), ("0.99",): _seconds(s.delay_p99_ms)}),
    _Figure("queue_frames", "Pictures waiting for a stage.", ("stage",),
            lambda s: {(stage,): depth for stage, depth in s.queues.items()}),
    _Figure("step", "1, with the step of the ladder as a label; `full` is nothing left out.",
            ("step",), lambda s: {(s.step,): 1}),
    _Figure("moire_levels", "Moiré energy of a recent picture, in 8-bit levels.", ("stage",),
            lambda s: {("in",): s.moire_before, ("out",): s.moire_after}),
    _Figure("viewers", "Those who are connected.", ("outlet",),
            lambda s: {(outlet,): count for outlet, count in s.viewers.items()}),
    _Figure("encoder_info", "1, with the encoder that really opened as a label.", ("encoder",),
            lambda s: {(s.encoder,): 1 if s.encoder else None}),
    _Figure("strength_ratio", "How much of the cleaning is mixed in, 0 to 1.", (),
            lambda s: _one(s.strength)),
    _Figure("smoothing_info", "1, with the smoothing in force as a label.", ("smoothing",),
            lambda s: {(s.smoothing,): 1}),
    _Figure("bypass", "1 while the picture is passed through as it came.", (),
            lambda s: _one(s.bypass)),
)  # fmt: skip


class _StatusCollector:
    """Makes every metric anew from the statuses, at the moment of a scrape."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        build = GaugeMetricFamily("demoire_build_info", "1, by version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        statuses = self._statuses()
        for figure in _FIGURES:
            yield _family(figure, statuses)


def _family(figure: _Figure, statuses: Sequence[Status]) -> CounterMetricFamily | GaugeMetricFamily:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if figure.counts else GaugeMetricFamily
    family = kind(f"demoire_{figure.name}", figure.help, labels=["camera", *figure.labels])
    for status in statuses:
        for labels, value in figure.read(status).items():
            if value is not None:
                family.add_metric([mask(status.camera), *map(mask, labels)], float(value))
    return family
