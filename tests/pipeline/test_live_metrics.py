import asyncio
import re
import sys
import threading
from contextlib import contextmanager

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from pipeline.errors import EngineError, SinkError
from pipeline.live.loop import LoopThread
from pipeline.live.metrics import MetricsServer
from pipeline.live.status import Status

FRONT = Status(
    camera="front",
    source="rtsp://10.0.0.2/1",
    state="online",
    state_s=4.5,
    uptime_s=60.0,
    frames_in=1500,
    frames_out=1490,
    dropped=10,
    repeated=2,
    reconnects=1,
    fps_in=25.0,
    fps_out=24.8,
    delay_ms=61.0,
    delay_p99_ms=93.0,
    queues={"clean": 1, "encode": 0},
    steps=3,
    moire_before=6.3,
    moire_after=1.4,
    viewers={"web": 2, "rtsp": 1},
    encoder="h264_nvenc",
)
GARDEN = Status(
    camera="garden",
    source="rtsp://10.0.0.3/1",
    state="offline",
    state_s=12.0,
    error="rtsp://me:secret@10.0.0.3/1: connection refused",
)


@contextmanager
def serving(statuses, *, ready=lambda: True):
    with LoopThread("test") as loop:
        server = MetricsServer(loop, "127.0.0.1", 0, statuses=lambda: statuses, ready=ready)
        server.start()
        try:
            yield server
        finally:
            server.close()
            server.close()


def get(server, path, **headers):
    async def fetch():
        address = f"http://127.0.0.1:{server.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(address, headers=headers) as answer,
        ):
            body = await answer.text()
            return answer.status, answer.headers["Content-Type"], body

    return asyncio.run(fetch())


def samples(body):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(body)
        for sample in family.samples
    }


def of(camera, **labels):
    return tuple(sorted({"camera": camera, **labels}.items()))


def test_figures_of_every_camera_are_told():
    with serving([FRONT, GARDEN]) as server:
        status, kind, body = get(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    told = samples(body)
    assert told["demoire_frames_in_total", of("front")] == 1500
    assert told["demoire_frames_out_total", of("front")] == 1490
    assert told["demoire_frames_dropped_total", of("front")] == 10
    assert told["demoire_frames_repeated_total", of("front")] == 2
    assert told["demoire_reconnects_total", of("front")] == 1
    assert told["demoire_step_changes_total", of("front")] == 3
    assert told["demoire_uptime_seconds", of("front")] == 60
    assert told["demoire_frame_rate_hertz", of("front", stage="out")] == 24.8
    assert told["demoire_delay_seconds", of("front", quantile="0.99")] == 0.093
    assert told["demoire_queue_frames", of("front", stage="clean")] == 1
    assert told["demoire_viewers", of("front", outlet="web")] == 2
    assert told["demoire_moire_levels", of("front", stage="in")] == 6.3
    assert told["demoire_encoder_info", of("front", encoder="h264_nvenc")] == 1
    assert told["demoire_source_state", of("garden", state="offline")] == 1
    assert told["demoire_source_state", of("garden", state="online")] == 0
    assert told["demoire_source_state_seconds", of("garden")] == 12
    assert told["demoire_strength_ratio", of("garden")] == 1
    assert told["demoire_bypass", of("garden")] == 0


def test_what_is_not_known_is_left_out():
    with serving([GARDEN]) as server:
        told = samples(get(server, "/metrics")[2])
    assert not [name for name, _ in told if name.startswith(("demoire_delay", "demoire_moire"))]
    assert not [name for name, _ in told if name == "demoire_encoder_info"]


def test_names_follow_the_rules_of_prometheus():
    with serving([FRONT, GARDEN]) as server:
        body = get(server, "/metrics")[2]
    for family in parse(body):
        assert family.documentation
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            if sample.name.startswith("demoire_") and family.name != "demoire_build_info":
                assert set(sample.labels) - {"camera"} <= {
                    "stage", "outlet", "state", "quantile", "step", "encoder", "smoothing",
                }  # fmt: skip


def test_figures_come_as_openmetrics_when_asked():
    with serving([FRONT]) as server:
        _, kind, body = get(server, "/metrics", Accept="application/openmetrics-text")
    assert kind.startswith("application/openmetrics-text")
    assert "demoire_frames_in" in {family.name for family in parse_open(body)}


def test_process_is_told_of_and_no_other_server():
    with serving([FRONT]), serving([GARDEN]) as server:
        told = samples(get(server, "/metrics")[2])
    assert told["process_resident_memory_bytes", ()] > 1e6
    assert told["demoire_uptime_seconds", of("garden")] == 0
    assert ("demoire_uptime_seconds", of("front")) not in told


def test_figures_are_those_of_the_moment():
    statuses = [GARDEN]
    with serving(statuses) as server:
        assert samples(get(server, "/metrics")[2])["demoire_frames_in_total", of("garden")] == 0
        statuses[0] = FRONT
        assert samples(get(server, "/metrics")[2])["demoire_frames_in_total", of("front")] == 1500


def test_no_secret_is_told():
    strange = Status(
        camera="rtsp://me:secret@10.0.0.3/1",
        source="rtsp://me:secret@10.0.0.3/1",
        state="offline",
        state_s=1.0,
        error="rtsp://me:secret@10.0.0.3/1",
        queues={"rtsp://me:secret@10.0.0.3/1": 1},
    )
    with serving([strange, GARDEN]) as server:
        assert "secret" not in get(server, "/metrics")[2]
        assert "secret" not in get(server, "/readyz")[2]


def test_health_says_that_the_loop_lives():
    with serving([]) as server:
        assert get(server, "/healthz")[::2] == (200, "ok\n")


def test_ready_means_that_every_camera_has_put_out_a_picture():
    with serving([FRONT, GARDEN]) as server:
        status, kind, body = get(server, "/readyz")
    assert status == 503
    assert kind.startswith("application/json")
    assert re.sub(r"\s", "", body) == (
        '{"ready":false,"waiting":{"garden":{"state":"offline",'
        '"error":"rtsp://10.0.0.3/1:connectionrefused"}}}'
    )
    with serving([FRONT]) as server:
        assert get(server, "/readyz")[::2] == (200, '{"ready": true, "waiting": {}}')


def test_program_that_still_starts_is_not_ready():
    started = threading.Event()
    with serving([FRONT], ready=started.is_set) as server:
        assert get(server, "/readyz")[0] == 503
        started.set()
        assert get(server, "/readyz")[0] == 200


def test_other_paths_are_not_found():
    with serving([FRONT]) as server:
        assert get(server, "/")[0] == 404


def test_taken_port_is_named_with_a_way_out():
    with serving([]) as server, LoopThread("second") as loop:
        second = MetricsServer(loop, "127.0.0.1", server.port, statuses=list, ready=lambda: True)
        with pytest.raises(SinkError, match=r"--metrics 127\.0\.0\.1:\d+: cannot listen: address"):
            second.start()


@pytest.mark.parametrize("missing", ["aiohttp", "prometheus_client"])
def test_missing_package_is_named_with_the_way_to_get_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    name = missing.replace("_", "-")
    with pytest.raises(EngineError, match=rf"--metrics needs {name}; .*'demoire\[live\]'"):
        MetricsServer(LoopThread(), "127.0.0.1", 0, statuses=list, ready=lambda: True)
