"""`demoire live` as a whole: real servers, real clients, and an end that is one."""

import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from time import monotonic

import av
import pytest
from live_chain import PATIENCE_S, eventually
from typer.testing import CliRunner

from engines.backends.identity import IdentityEngine
from pipeline.cli import app
from pipeline.errors import ConfigError, DemoireError, SinkError
from pipeline.live.config import load_live_config
from pipeline.live.service import Service, smaller_models

SMALL = "test://?size=160x128&rate=30"
QUICK = {"rtsp_transport": "tcp", "probesize": "32", "analyzeduration": "0"}


def config_of(tmp_path, text):
    file = tmp_path / "live.yaml"
    file.write_text(
        "encode: {preset: ultrafast, hardware: 'off'}\nsmooth: {seconds: 'off'}\n" + text
    )
    return load_live_config(file=file)


@contextmanager
def serving(config):
    """Yield what a running service said; it is stopped at the end."""
    said, stop, failed = [], threading.Event(), []
    service = Service(config, {"nano": IdentityEngine()}, say=said.append)

    def run():
        try:
            service.run(stop)
        except DemoireError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield said, thread, failed
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def said_by(said, pattern, count=1):
    """Wait for so many lines with a pattern, and return what it matched."""
    eventually(lambda: sum(bool(re.search(pattern, line)) for line in said) >= count)
    return [found[0] for line in said if (found := re.search(pattern, line))]


def pictures_from(url, count):
    with av.open(url, options=QUICK, timeout=(10, 10)) as container:
        frames = container.decode(video=0)
        return [next(frames) for _ in range(count)]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_camera_is_served_to_several_players(tmp_path):
    config = config_of(
        tmp_path, f"cameras: {{one: {{source: '{SMALL}', serve: 'rtsp://127.0.0.1:0/x'}}}}"
    )
    with serving(config) as (said, _, _):
        (url,) = said_by(said, r"rtsp://\S+")
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(len(pictures_from(url, 10))))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert found == [10, 10, 10]


def test_a_fault_of_one_camera_does_not_touch_another(tmp_path):
    config = config_of(
        tmp_path,
        "wait: 0.2\n"
        "cameras:\n"
        f"  good: {{source: '{SMALL}', serve: 'rtsp://127.0.0.1:0/good'}}\n"
        "  bad: {source: 'rtsp://127.0.0.1:9/none', size: 96x64,"
        " serve: 'rtsp://127.0.0.1:0/bad'}\n",
    )
    with serving(config) as (said, _, _):
        urls = said_by(said, r"rtsp://\S+", count=2)
        sizes = {(f.width, f.height) for url in urls for f in pictures_from(url, 5)}
        assert sizes == {(160, 128), (96, 64)}


def test_page_and_metrics_know_the_camera(tmp_path):
    config = config_of(
        tmp_path,
        f"cameras: {{front: {{source: '{SMALL}'}}}}\nweb: 127.0.0.1:0\nmetrics: 127.0.0.1:0\n",
    )
    with serving(config) as (said, _, _):
        (page,) = said_by(said, r"http://\S+/$")
        (metrics,) = said_by(said, r"http://\S+/metrics")
        assert "demoire" in get(page)[1]
        ready = metrics.replace("/metrics", "/readyz")
        eventually(lambda: get(ready)[0] == 200)
        text = get(metrics)[1]
        assert re.search(r'demoire_frames_out_total\{camera="front"\} [1-9]', text)


def test_it_ends_with_the_last_source_that_has_an_end(tmp_path):
    config = config_of(
        tmp_path,
        f"cameras: {{one: {{source: '{SMALL}&count=5', serve: 'rtsp://127.0.0.1:0/x'}}}}",
    )
    with serving(config) as (_, thread, failed):
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert not failed


def test_an_address_that_is_taken_ends_it_with_the_address(tmp_path):
    config = config_of(
        tmp_path,
        f"cameras: {{one: {{source: '{SMALL}'}}}}\nmetrics: 127.0.0.1:0\n",
    )
    with serving(config) as (said, _, _):
        (metrics,) = said_by(said, r"http://\S+/metrics")
        port = re.search(r":(\d+)/", metrics)[1]
        other = config.model_copy(update={"metrics": f"127.0.0.1:{port}"})
        with pytest.raises(SinkError, match=port):
            Service(other, {"nano": IdentityEngine()}, say=str).run(threading.Event())


def test_wrong_parameters_end_it_before_anything_is_served(tmp_path):
    config = config_of(
        tmp_path, "cameras: {one: {source: 'test://?size=0', serve: 'rtsp://127.0.0.1:0/x'}}"
    )
    with pytest.raises(ConfigError, match="size"):
        Service(config, {"nano": IdentityEngine()}, say=str).run(threading.Event())


def test_no_camera_is_an_error():
    with pytest.raises(ConfigError, match="no SOURCE given"):
        Service(load_live_config(), {"nano": IdentityEngine()}, say=str)


def test_a_smaller_network_is_kept_ready_for_a_larger_one():
    assert smaller_models("base", ("nano", "base")) == ("base", "nano")
    assert smaller_models("nano", ("nano", "base")) == ("nano",)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_says_what_happens_and_ends_when_told(number):
    command = [sys.executable, "-m", "pipeline.cli", "live", f"{SMALL}&seed=3"]
    command += ["--serve", "rtsp://127.0.0.1:0/x", "--log", "json", "--engine", "identity"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            url = re.search(r"rtsp://\S+", child.stdout.readline())[0]
            assert len(pictures_from(url, 5)) == 5
            began_s = monotonic()
        finally:
            child.send_signal(number)
        _, errors = child.communicate(timeout=PATIENCE_S)
        assert monotonic() - began_s < 3  # two, and a busy machine
    assert child.returncode == 0
    lines = [line for line in errors.splitlines() if line.startswith("{")]
    events = {json.loads(line)["event"] for line in lines}
    assert {"source.online", "encoder.opened"} <= events


def test_the_password_of_a_source_is_never_said():
    command = [sys.executable, "-m", "pipeline.cli", "live", "rtsp://me:hunter2@127.0.0.1:9/x"]
    command += ["--serve", "rtsp://127.0.0.1:0/x", "--wait", "0.3", "--engine", "identity"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            child.stdout.readline()
        finally:
            child.send_signal(signal.SIGTERM)
        rest, errors = child.communicate(timeout=PATIENCE_S)
    assert "127.0.0.1:9" in errors
    assert "hunter2" not in rest + errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nofile.mp4", "--serve", "rtsp://127.0.0.1:0/x"], "nofile.mp4: no such file"),
        (["test://"], "nowhere to send the picture; add --serve"),
        ([], "no SOURCE given"),
        (["nope://x", "--serve", "rtsp://127.0.0.1:0/x"], "no live source is called 'nope'"),
    ],
)
def test_mistakes_are_one_sentence(words, said):
    found = CliRunner().invoke(app, ["live", *words])
    assert found.exit_code in (1, 2)
    assert said in found.output
