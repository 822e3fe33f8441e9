"""The command line with a back end whose engines are built and kept, as TensorRT's are.

What it builds is a few bytes, for the size of the pictures; it computes what `identity` does.
`python building_cli.py engines build ...`, or `BACKENDS["building"] = ENGINE` in a test.
"""

import threading
from dataclasses import replace

from engines.backends.identity import IdentityEngine
from engines.cache import EngineCache
from engines.engine import BACKENDS
from engines.errors import DeviceMemoryError, EngineError

ENGINE = "building_cli:BuildingEngine"
SHORT = "building_cli:ShortEngine"
UNBUILDABLE_WIDTH = 666


class BuildingEngine(IdentityEngine):
    builds = True

    def __init__(self, *, model, device="0", on_build=None):
        super().__init__()
        self.info = replace(self.info, backend="building", model=model, device=f"GPU {device}")
        self._on_build = on_build

    def open(self, picture_format, *, smoothing=None, batch=None):
        size = f"{picture_format.width}x{picture_format.height}"
        self._build({"model": self.info.model, "size": size}, f"an engine for {size}")
        if picture_format.width == UNBUILDABLE_WIDTH:
            raise EngineError("the compiler gave up")
        return super().open(picture_format, smoothing=smoothing, batch=batch)

    def _build(self, origin, what):
        cache = EngineCache()
        if cache.load(origin) is not None:
            return
        # As a compiler does: from a thread of its own.
        builder = threading.Thread(target=self._tell, args=(what,))
        builder.start()
        builder.join()
        cache.store(origin, b"engine", what=what)
        self._on_build(what, 1.0)

    def _tell(self, what):
        for share in (0.0, 0.34, 0.99):
            self._on_build(what, share)


class ShortEngine(IdentityEngine):
    """On a device with room for one picture of 1408x192."""

    multiple = 64

    def open(self, picture_format, *, smoothing=None, batch=None):
        if picture_format.width > 1408:
            raise DeviceMemoryError("400 MB asked for, 300 MB free")
        return super().open(picture_format, smoothing=smoothing, batch=batch)


if __name__ == "__main__":
    from pipeline.cli import main

    BACKENDS["building"] = ENGINE
    main()
