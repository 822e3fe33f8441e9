"""What this process holds in memory, in megabytes of 10^6 bytes.

From `/proc/self/status`, not `getrusage`: on Linux the latter counts what the process was forked
from, so a child's peak is never below its parent's.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
_KILOBYTE = 1024
_MEGABYTE = 1_000_000


class MemoryWatch:
    """The peak of a whole process, and how much more that is than it held before its frames.

    To be made right before the first frame. Where the system does not let a peak be forgotten, the
    growth counts from what is held now to the peak of the whole process.
    """

    def __init__(self) -> None:
        self._peak_mb = _field_mb("VmHWM")
        with suppress(OSError):
            _CLEAR.write_text(_FORGET_PEAK, encoding="ascii")
        self._before_mb = _field_mb("VmRSS")

    def peak_mb(self) -> float:
        """Return the most that was ever held."""
        return max(self._peak_mb, _field_mb("VmHWM"))

    def growth_mb(self) -> float:
        """Return by how much the peak since the watch was made is above what was held then."""
        return max(0.0, _field_mb("VmHWM") - self._before_mb)


def _field_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    assert found, f"{_STATUS} has no {name}"
    return int(found[1]) * _KILOBYTE / _MEGABYTE
