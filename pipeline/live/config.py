"""Every setting of `demoire live`; see `pipeline.config` for how layers are merged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config import CleanConfig, EngineConfig, Settings, SmoothConfig, load_preset
from pipeline.layers import Layer, as_yaml, assignment_layer, file_layer, merge, option_layers
from pipeline.live.access import VideoCodec
from pipeline.live.sources.contract import LiveOptions

_SIZE = re.compile(r"(?P<width>\d+)x(?P<height>\d+)")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d*)?)\s*(?P<unit>ms|s|)")
_CAMERA = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_ONE = "camera"
"""Name of the only camera of a command line."""


def parse_size(value: object) -> object:
    """Return (width, height) of `WxH`; anything else is left to the check."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return (int(found["width"]), int(found["height"])) if found else value


def parse_duration(value: object) -> object:
    """Return seconds of `300ms`, `0.3s` or `0.3`; anything else is left to the check."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    return float(found["number"]) / (1000 if found["unit"] == "ms" else 1)


Side = Annotated[int, Field(ge=16, le=8192, multiple_of=2)]
Duration = Annotated[float, BeforeValidator(parse_duration)]


class RecordConfig(Settings):
    """A file that is written along."""

    path: Path
    """`.mp4` or `.mkv`."""
    segment: Duration | None = Field(default=None, ge=1)
    """A new file, with the time in its name, after so long; one file where not given."""
    keep: int | None = Field(default=None, ge=1)
    """Files kept; older ones are deleted."""


class CameraConfig(Settings):
    """One source and where it goes."""

    source: str
    options: LiveOptions = LiveOptions()
    """How the source is read."""
    size: Annotated[tuple[Side, Side] | None, BeforeValidator(parse_size)] = None
    """Of the output; the source's own where not given."""
    rate: float | None = Field(default=None, gt=0, le=240)
    """Pictures a second that encoders and players are told; the source's own where not given."""
    serve: str | None = None
    """`rtsp://[USER:PASSWORD@]HOST:PORT/PATH` to serve at."""
    publish: tuple[str, ...] = ()
    """Servers to send to."""
    record: RecordConfig | None = None


class EncodeConfig(Settings):
    """How pictures are encoded: without delay, once for all outlets."""

    codec: VideoCodec = "h264"
    bitrate_kbps: int | None = Field(default=None, ge=50, le=500_000)
    """Constant bitrate; constant quality where not given."""
    crf: int | None = Field(default=None, ge=0, le=51)
    """Constant quality, lower is better; the codec's usual value where not given."""
    preset: str = "superfast"
    """The software encoder's own name for speed against size."""
    key_interval_s: float = Field(default=2.0, gt=0, le=60)
    """Seconds between pictures that decoding can start at."""
    hardware: str = "auto"
    """`auto` takes the first hardware encoder that really encodes, `off` none; or its name."""


class LiveConfig(Settings):
    """One run of `demoire live`."""

    cameras: dict[str, CameraConfig] = Field(default_factory=dict)
    """By a name for people."""
    engine: EngineConfig = EngineConfig()
    clean: CleanConfig = CleanConfig()
    smooth: SmoothConfig = SmoothConfig()
    encode: EncodeConfig = EncodeConfig()
    max_delay: Duration = Field(default=0.3, ge=0.02, le=60)
    """From a picture's arrival to its access unit; later ones are left out."""
    wait: Duration = Field(default=5.0, ge=0, le=600)
    """How long a source is waited for before the output begins without it."""
    web: str | None = None
    """`HOST:PORT` of the page."""
    token: str | None = None
    """Of the page; made up where others than this machine reach it and none is given."""
    metrics: str | None = None
    """`HOST:PORT` of Prometheus metrics, `/healthz` and `/readyz`."""
    log: Literal["text", "json"] = "text"

    @model_validator(mode="after")
    def _cameras_are_apart(self) -> Self:
        for name in self.cameras:
            if not _CAMERA.fullmatch(name):
                raise ValueError(
                    f"cameras: {name!r} is no name; use letters, digits, spaces and ._-"
                )
        served = [camera.serve for camera in self.cameras.values() if camera.serve]
        if len(set(served)) < len(served):
            raise ValueError("cameras: two of them serve at one address; give each its own port")
        return self

    def as_yaml(self) -> str:
        """Return the whole configuration in a form that `--config` reads back."""
        return as_yaml(self)


def load_live_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    camera: Mapping[str, object] | None = None,
) -> LiveConfig:
    """Merge the layers and check the result.

    Args:
        preset: Name of a preset; only what `live` has, too, is taken from it.
        file: YAML file with differences.
        assignments: `group.key=value` each, the value in YAML.
        options: Values by `group.key`; those that are None were not given.
        camera: The only camera, given on the command line: values by key.

    Raises:
        ConfigError: A layer cannot be read, or a key or value is wrong; all faults are named.
    """
    layers = []
    if preset is not None:
        values = load_preset(preset).values
        shared = {key: value for key, value in values.items() if key in LiveConfig.model_fields}
        layers.append(Layer(origin=f"preset {preset}", values=shared))
    if file is not None:
        layers.append(file_layer(file))
    layers += [assignment_layer(text, example="clean.strength=0.5") for text in assignments]
    layers += option_layers(options or {})
    given = {key: value for key, value in (camera or {}).items() if value is not None}
    layers += option_layers({f"cameras.{_ONE}.{key}": value for key, value in given.items()})
    return merge(layers, LiveConfig)
