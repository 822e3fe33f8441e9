"""An engine on a device with room for so many samples of luma at a time."""

from engines.engine import EngineInfo
from engines.errors import DeviceMemoryError


class ShortOfMemory:
    """Opens sessions of another engine, unless a request's pictures have too many pixels."""

    def __init__(self, engine, *, most_pixels, batch=1, multiple=64):
        self.engine, self.most_pixels, self.batch = engine, most_pixels, batch
        self.info: EngineInfo = engine.info
        self.multiple = multiple
        self.opened = []
        self.closed = 0

    def open(self, picture_format, *, smoothing=None, batch=None):
        count = batch or self.batch
        asked = (picture_format.width, picture_format.height, count)
        pixels = picture_format.width * picture_format.height * count
        if pixels > self.most_pixels:
            raise DeviceMemoryError(f"{pixels} pixels, room for {self.most_pixels}")
        self.opened.append(asked)
        return self.engine.open(picture_format, smoothing=smoothing, batch=count)

    def close(self):
        self.closed += 1
        self.engine.close()
