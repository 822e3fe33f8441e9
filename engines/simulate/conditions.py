"""How a screen is filmed: every physical parameter, drawn from its range by a seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from engines.simulate.camera import Camera
from engines.simulate.codec import Compression
from engines.simulate.display import Panel, PanelKind
from engines.simulate.optics import Lens, Pose
from engines.simulate.sensor import Filters, Sensor
from engines.simulate.shutter import Flicker, Shutter, draw_flicker, draw_shutter

# Shares of panels in the field: desktop stripes, a few BGR, OLED phones, TVs, LED walls.
_PANELS: dict[PanelKind, float] = {
    "stripe": 0.56,
    "bgr": 0.10,
    "pentile": 0.07,
    "diamond": 0.08,
    "wrgb": 0.07,
    "led": 0.12,
}

# Phones with quad-Bayer sensors bin them for video and for most photos.
_FILTERS: dict[Filters, float] = {"bayer": 0.75, "quad": 0.15, "quad_binned": 0.10}
_FLICKER_SHARE = 0.2


@dataclass(frozen=True)
class Conditions:
    """One way to film one screen."""

    panel: Panel = field(default_factory=Panel)
    pose: Pose = field(default_factory=Pose)
    focal: float = 3000.0
    """Focal length in sensor pixels."""
    lens: Lens = field(default_factory=Lens)
    sensor: Sensor = field(default_factory=Sensor)
    camera: Camera = field(default_factory=Camera)
    first_compression: Compression | None = None
    """Of the camera, where the picture is a copy; None: as the camera's processor made it."""
    rescale: float = 1.0
    """Second generation: shrunk by this and enlarged again, taking the finest pattern away but
    leaving the long fringes; the truth goes the same way. 1..3."""
    compression: Compression | None = None
    """Of the picture itself; None: not compressed."""
    shutter: Shutter = field(default_factory=Shutter)
    flicker: Flicker | None = None
    """Pulses of the screen's light; None: it is steady. A shutter that rolls makes bands of it."""
    time_s: float = 0.0
    """When the first row's exposure begins: moves the bands of a clip."""
    sweep: tuple[Pose, ...] = ()
    """Poses while the picture is read out, evenly spaced from its first row to its last; empty:
    `pose` throughout."""


def draw_conditions(rng: np.random.Generator) -> Conditions:
    """Draw conditions from the ranges in which people film screens."""
    kinds = list(_PANELS)
    panel = Panel(
        kind=kinds[rng.choice(len(kinds), p=list(_PANELS.values()))],
        fill=rng.uniform(0.6, 0.95),
        gamma=rng.uniform(2.0, 2.4),
        rotated=bool(rng.random() < 0.15),
        leak=rng.uniform(0.0, 0.1),
    )
    copied = rng.random() < 0.5
    drawn = Conditions(
        panel=panel,
        pose=_draw_led_pose(rng) if panel.kind == "led" else _draw_pose(rng),
        focal=rng.uniform(1500, 5000),
        lens=_draw_lens(rng),
        sensor=Sensor(
            crosstalk=rng.uniform(0.03, 0.25),
            shot=10 ** rng.uniform(-5, -2.6),
            read=10 ** rng.uniform(-4, -2.5),
            row=10 ** rng.uniform(-4, -3) if rng.random() < 0.3 else 0.0,
            # Cameras brighten what they meter: on a dark scene white is overexposed.
            exposure=rng.uniform(0.35, 1.15) if rng.random() < 0.8 else rng.uniform(1.15, 2.5),
        ),
        camera=_draw_camera(rng),
        first_compression=draw_compression(rng) if copied and rng.random() < 0.6 else None,
        rescale=rng.uniform(1.2, 3.0) if copied else 1.0,
        compression=draw_compression(rng) if rng.random() < 0.9 else None,
    )
    # From a generator of its own: what a seed gave before these were drawn, it still gives.
    return _with_sensor_timing(drawn, rng.spawn(1)[0])


def _with_sensor_timing(drawn: Conditions, rng: np.random.Generator) -> Conditions:
    """Return `drawn` with the layout of the filters, a rolling shutter and perhaps flicker."""
    filters = list(_FILTERS)[rng.choice(len(_FILTERS), p=list(_FILTERS.values()))]
    shutter = draw_shutter(rng)
    flickers = rng.random() < _FLICKER_SHARE
    return replace(
        drawn,
        sensor=replace(drawn.sensor, filters=filters),
        shutter=shutter,
        flicker=draw_flicker(rng, shutter.exposure_ms) if flickers else None,
    )


def draw_compression(rng: np.random.Generator) -> Compression:
    """Draw a photo's JPEG or a video's H.264; second-generation clips go down to CRF 33."""
    if rng.random() < 0.4:
        return Compression("jpeg", int(rng.integers(55, 99)))
    return Compression("h264", int(rng.integers(18, 34)))


def _draw_pose(rng: np.random.Generator) -> Pose:
    """Most ratios lie near those at which grid and filter mosaic beat slowest."""
    ratio = float(np.exp(rng.uniform(np.log(0.6), np.log(3.2))))
    if rng.random() < 0.8:
        resonance = rng.choice([2.0, 1.0, 0.667, 1.333, 4 / 3 * 2], p=[0.35, 0.2, 0.05, 0.15, 0.25])
        # The closer, the longer the fringes: 2 % off makes them about 100 pixels long.
        ratio = float(
            resonance * np.exp(rng.normal(0, rng.choice([0.01, 0.03, 0.07], p=[0.15, 0.45, 0.4])))
        )
    upright = rng.random() < 0.4
    return Pose(
        ratio=ratio,
        roll_deg=rng.normal(0, 0.7) if upright else rng.uniform(-10, 10),
        tilt_x_deg=rng.normal(0, 3) if upright else rng.uniform(-25, 25),
        tilt_y_deg=rng.normal(0, 3) if upright else rng.uniform(-20, 20),
        shift_x=rng.uniform(-1, 1),
        shift_y=rng.uniform(-1, 1),
    )


def _draw_led_pose(rng: np.random.Generator) -> Pose:
    """LED walls have pixels of millimetres: half of them are filmed with every dot resolved."""
    pose = _draw_pose(rng)
    if rng.random() < 0.5:
        return pose
    return replace(pose, ratio=float(np.exp(rng.uniform(np.log(2.5), np.log(6)))))


def _draw_lens(rng: np.random.Generator) -> Lens:
    field_px = rng.uniform(900, 2600)
    angle, distance = rng.uniform(0, 2 * np.pi), field_px * 0.8 * np.sqrt(rng.random())
    shift = rng.uniform(0, 0.5) * (rng.random() < 0.5)
    turn = rng.uniform(0, 2 * np.pi)
    return Lens(
        sigma=rng.uniform(0.3, 0.75) if rng.random() < 0.7 else rng.uniform(0.75, 1.2),
        k1=rng.uniform(-0.08, 0.08),
        chromatic=(float(shift * np.cos(turn)), float(shift * np.sin(turn))),
        vignette=rng.uniform(0, 0.4),
        field=field_px,
        centre=(float(distance * np.cos(angle)), float(distance * np.sin(angle))),
    )


def _draw_camera(rng: np.random.Generator) -> Camera:
    shrinks = rng.random() < 0.4
    return Camera(
        demosaic=("bilinear", "malvar", "edge")[rng.choice(3, p=[0.35, 0.45, 0.2])],
        white_balance=(rng.normal(1, 0.06), rng.normal(1, 0.06)),
        saturation=rng.uniform(0.8, 1.3),
        contrast=rng.uniform(0, 0.5),
        chroma_denoise=rng.uniform(0.3, 4.0) if rng.random() < 0.5 else 0.0,
        luma_denoise=rng.uniform(0.01, 0.06) if rng.random() < 0.4 else 0.0,
        sharpen=rng.uniform(0, 1.2),
        sharpen_sigma=rng.uniform(0.6, 1.6),
        shrink=rng.uniform(1.2, 2.2) if shrinks else 1.0,
        shrink_filter=("area", "linear", "nearest")[rng.choice(3, p=[0.56, 0.4, 0.04])],
    )
