"""Every error a user can meet, as a tree.

DemoireError            exit code 1
├── SourceError         an input cannot be opened or read
├── SinkError           an output cannot be created or written
├── EngineError         a back end or model cannot be opened, or failed on a picture
│   └── DeviceMemoryError  a device has too little memory for a picture (engines.errors)
├── PairsError          a folder holds no pairs or pictures to judge on (engines.pairs)
├── PhotosError         no picture of a folder can be shown (engines.simulate.content.photos)
├── DataError           there is nothing to train on (engines.train.data)
├── TrainError          a training run cannot begin, go on or end well (engines.train.loop)
└── ConfigError         an option or a configuration file is wrong (exit code 2)
"""

from engines.errors import DemoireError, EngineError

__all__ = ["ConfigError", "DemoireError", "EngineError", "SinkError", "SourceError"]


class SourceError(DemoireError):
    """An input cannot be opened or read."""


class SinkError(DemoireError):
    """An output cannot be created or written."""


class ConfigError(DemoireError):
    """An option or a configuration file is wrong."""

    exit_code = 2
