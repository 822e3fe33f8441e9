"""Which scenes the clips of a data set are: read from what `demoire simulate` notes beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engines.pairs import PairsError

GROUPS = ("tripod", "hand-held", "scrolling", "film", "cut")
"""Ways of holding the camera, then kinds of what plays: a clip belongs to one of the former, and to
one of the latter or none."""

_PLAYS = {"scroll": "scrolling", "film": "film", "player": "film", "cuts": "cut"}
"""Groups of the kinds of scenes; what mostly stands still has none."""
_FILE = "conditions.jsonl"


class Ledger:
    """A folder's `conditions.jsonl`: one object a line, each how a file was made.

    Args:
        folder: Of the clips; without such a file, nothing is known of them.

    Raises:
        PairsError: The file cannot be read, or a line is no record.
    """

    def __init__(self, folder: Path) -> None:
        self._groups: dict[str, tuple[str, ...]] = {}
        path = folder / _FILE
        if not path.exists():
            return
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PairsError(f"{path}: cannot be read: {error}; remove it to go on") from error
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if record["kind"] == "clip":
                    self._groups[record["name"]] = _groups_of(record["take"])
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    break  # the line at which a run was killed
                raise PairsError(f"{path}: line {number} is no record; remove the line") from error

    def groups(self, moire: Path) -> tuple[str, ...]:
        """Return the groups of a clip in the folder, by the path of its file with moiré."""
        return self._groups.get(moire.stem.removesuffix("_moire"), ())


def _groups_of(take: dict[str, Any]) -> tuple[str, ...]:
    hand = take["hand"]
    # What trembles on a tripod is the floor: see `engines.simulate.clip.draw_tripod`.
    on_tripod = hand["drift_px_s"] == 0 and hand["sway_deg"] == 0
    plays = _PLAYS.get(take["scene"])
    return ("tripod" if on_tripod else "hand-held", *([plays] if plays else []))
