"""When a simulated source misbehaves: faults that come back, as a function of time alone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, InstanceOf

from pipeline.live.sources.query import parse_size

_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_TIMED = re.compile(rf"(?P<amount>-?{_NUMBER})@(?P<every>{_NUMBER})")
_RESIZED = re.compile(rf"(?P<size>\d+x\d+)@(?P<every>{_NUMBER})")


@dataclass(frozen=True, slots=True)
class Timed:
    """A fault of so many seconds, again and again."""

    amount_s: float
    """How long it lasts; for a jump of timestamps, how far."""
    every_s: float
    """From the beginning of one to that of the next; the first begins after as long."""

    def active(self, time_s: float) -> bool:
        """Whether the fault is there at this time."""
        return time_s >= self.every_s and time_s % self.every_s < self.amount_s

    def remaining_s(self, time_s: float) -> float:
        """Return how long it will still be there; 0 where it is not."""
        return self.amount_s - time_s % self.every_s if self.active(time_s) else 0.0

    def times(self, time_s: float) -> int:
        """Return how often it has begun."""
        return math.floor(max(0.0, time_s) / self.every_s)


@dataclass(frozen=True, slots=True)
class Resized:
    """Another size, and back again, and so on."""

    size: tuple[int, int]
    every_s: float

    def active(self, time_s: float) -> bool:
        """Whether pictures have the other size at this time."""
        return math.floor(max(0.0, time_s) / self.every_s) % 2 == 1


def parse_timed(value: object) -> object:
    """Return the fault of `SECONDS@EVERY`.

    Raises:
        ValueError: It is none, or lasts as long as its period.
    """
    found = _TIMED.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("write SECONDS@EVERY, e.g. 2@20 for 2 s, every 20 s")
    fault = Timed(float(found["amount"]), float(found["every"]))
    if not 0 < fault.amount_s < fault.every_s:
        raise ValueError("a fault's period must be longer than the fault")
    return fault


def parse_jump(value: object) -> object:
    """Return the fault of `SECONDS@EVERY`, where the seconds may be many and negative.

    Raises:
        ValueError: It is none.
    """
    found = _TIMED.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(found["every"]) <= 0:
        raise ValueError("write SECONDS@EVERY, e.g. -3600@30")
    return Timed(float(found["amount"]), float(found["every"]))


def parse_resized(value: object) -> object:
    """Return the fault of `WIDTHxHEIGHT@EVERY`.

    Raises:
        ValueError: It is none.
    """
    found = _RESIZED.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(found["every"]) <= 0:
        raise ValueError("write WIDTHxHEIGHT@EVERY, e.g. 640x480@30")
    size = parse_size(found["size"])
    assert isinstance(size, tuple)
    return Resized(size, float(found["every"]))


Lasting = Annotated[InstanceOf[Timed], BeforeValidator(parse_timed)]
Jump = Annotated[InstanceOf[Timed], BeforeValidator(parse_jump)]
Resizing = Annotated[InstanceOf[Resized], BeforeValidator(parse_resized)]
