"""The roots of the error tree, apart from `engines.engine` so that they cost no NumPy import.

The command line needs them before it knows whether it will touch a picture; the whole tree is
drawn in `pipeline.errors`.
"""


class DemoireError(Exception):
    """Something the user can act on: the message names the thing, the value and the way out."""

    exit_code = 1


class EngineError(DemoireError):
    """A back end or model cannot be opened, or failed on a picture."""


class DeviceMemoryError(EngineError):
    """A device has too little memory for a picture of this size, or its engine is made for less.

    Raised by `Engine.open` only: a session that opened holds all the memory it needs.
    """
