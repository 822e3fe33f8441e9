"""A camera run in a test: its units collected, its end awaited."""

import threading
from contextlib import contextmanager
from time import monotonic

import av

from engines.backends.identity import IdentityEngine
from pipeline.live.camera import Camera
from pipeline.live.config import CameraConfig, EncodeConfig
from pipeline.live.control import LiveControl, Values
from pipeline.live.sources.contract import LiveOptions

PATIENCE_S = 30


class Collector:
    """An outlet that keeps what it gets."""

    def __init__(self):
        self.changed = threading.Condition()
        self.units = []
        self.closed = False

    def push(self, unit):
        with self.changed:
            self.units.append(unit)
            self.changed.notify_all()

    def close(self):
        self.closed = True

    def wait_for(self, condition):
        """Wait until `condition(units)` holds."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.units), PATIENCE_S), len(self.units)

    def pictures(self):
        """Decode all of them."""
        codec = av.CodecContext.create("h264", "r")
        units = [unit for unit in self.units if unit.medium == "video"]
        frames = [frame for unit in units for frame in codec.decode(av.Packet(unit.data))]
        return frames + codec.decode(None)


def eventually(condition):
    """Wait for something that nobody tells of."""
    deadline, pause = monotonic() + PATIENCE_S, threading.Event()
    while not condition():
        assert monotonic() < deadline, "it did not come in time"
        pause.wait(0.02)


def make_camera(source, *, engines=None, max_delay_s=5.0, smoothing="off", stall_s=4.0, **config):
    return Camera(
        "one",
        CameraConfig(source=source, options=LiveOptions(stall_s=stall_s), **config),
        EncodeConfig(preset="ultrafast", hardware="off", key_interval_s=1),
        engines=engines or {"nano": IdentityEngine()},
        control=LiveControl(Values(strength=1.0, smoothing=smoothing), deband="auto", cleaned=True),
        max_delay_s=max_delay_s,
    )


@contextmanager
def running(camera, *, wait_s=10.0):
    """Yield the camera's units while it runs, and its chain."""
    outlet = Collector()
    thread = threading.Thread(target=camera.run)
    try:
        chain = camera.open(wait_s=wait_s)
        camera.hub.add("list", outlet)
        thread.start()
        yield outlet, chain
    finally:
        camera.stop()
        if thread.ident is not None:
            thread.join(PATIENCE_S)
        camera.close()
        camera.hub.close()
