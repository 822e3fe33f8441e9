"""What `demoire live` can be told, and what it refuses."""

from pathlib import Path

import pytest
import yaml

from pipeline.errors import ConfigError
from pipeline.live.config import LiveConfig, load_live_config, parse_duration
from pipeline.live.service import split_address


def load(**values):
    return load_live_config(options=values)


@pytest.mark.parametrize(
    ("text", "seconds"), [("300ms", 0.3), ("0.5s", 0.5), ("2 s", 2.0), ("1.5", 1.5), (0.2, 0.2)]
)
def test_durations_are_seconds_or_milliseconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)
    assert load(max_delay=text).max_delay == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["soon", "3 min", "-1", "0"])
def test_wrong_delays_are_named(text):
    with pytest.raises(ConfigError, match="max_delay"):
        load(max_delay=text)


def test_the_command_lines_camera_joins_those_of_the_file(tmp_path):
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras:\n  front:\n    source: rtsp://front/1\n    size: 640x360\n")
    config = load_live_config(file=file, camera={"source": "usb:0", "serve": None})
    assert {name: one.source for name, one in config.cameras.items()} == {
        "front": "rtsp://front/1",
        "camera": "usb:0",
    }
    assert config.cameras["front"].size == (640, 360)


def test_what_is_printed_can_be_read_back(tmp_path):
    config = load_live_config(
        camera={"source": "test://", "record.path": Path("a.mkv"), "record.segment": "10"},
        options={"encode.bitrate_kbps": 3000, "smooth.seconds": "off"},
    )
    file = tmp_path / "printed.yaml"
    file.write_text(config.as_yaml())
    assert load_live_config(file=file) == config


def test_presets_give_what_live_has_too():
    assert load_live_config(preset="quality").engine.model == "base"
    assert load_live_config(preset="fast").smooth.seconds == "off"
    assert load_live_config(preset="live") == load_live_config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cameras: {'../x': {source: a}}", r"'../x' is no name"),
        ("cameras: {a: {source: x, size: 641x360}}", "size"),
        ("cameras: {a: {sauce: x}}", "sauce"),
        ("cameras: {a: {source: x, options: {transport: smoke}}}", "transport"),
        (
            "cameras: {a: {source: x, serve: 'rtsp://h:1/x'}, b: {source: y, serve: 'rtsp://h:1/x'}}",
            "two of them serve at one address",
        ),
    ],
)
def test_faults_of_a_file_are_named(tmp_path, text, words):
    file = tmp_path / "cameras.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_live_config(file=file)


def test_every_setting_has_a_default_but_the_source():
    assert yaml.safe_load(LiveConfig().as_yaml())["cameras"] == {}
    with pytest.raises(ConfigError, match="source"):
        load_live_config(camera={"serve": "rtsp://h:1/x"})


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:0", ("::1", 0)),
        ("cam.local:8080", ("cam.local", 8080)),
    ],
)
def test_addresses_are_host_and_port(text, pair):
    assert split_address("--web", text) == pair


@pytest.mark.parametrize("text", ["8080", "host:", ":8080", "host:http", "host:70000", ""])
def test_wrong_addresses_are_named(text):
    with pytest.raises(ConfigError, match=r"--web .*must look like HOST:PORT"):
        split_address("--web", text)
