"""conditions.jsonl: how each file of a data set was made, one object a line."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import SinkError

Record = dict[str, object]


class Ledger:
    """What is complete, by name; a record is written after its files, never before.

    Args:
        folder: Of the data set.

    Raises:
        SinkError: The file is there but cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "conditions.jsonl"
        self._records: dict[str, Record] = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise SinkError(f"{self.path}: cannot be read: {error}; remove it to begin") from error
        for number, line in enumerate(lines):
            try:
                record = json.loads(line)
                self._records[record["name"]] = record
            except (ValueError, KeyError, TypeError) as error:
                if self._records and number == len(lines) - 1:
                    self.tidy()  # without the line at which an earlier run was killed
                    break
                raise SinkError(
                    f"{self.path}: line {number + 1} is no record; remove the line"
                ) from error

    def settings(self, name: str) -> object:
        """Return what a name was made with; None if it is not known."""
        return self._records.get(name, {}).get("settings")

    def add(self, record: Record) -> None:
        """Note that a name's files are complete."""
        # As JSON has it: tuples are lists when they are read again.
        line = json.dumps(record, ensure_ascii=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._records[str(record["name"])] = json.loads(line)

    def tidy(self) -> None:
        """Write the file anew: every name once, in order; complete or not at all."""
        if not self._records:
            return
        part = self.path.with_name(self.path.name + ".part")
        lines = [
            json.dumps(record, ensure_ascii=False) + "\n"
            for _, record in sorted(self._records.items())
        ]
        part.write_text("".join(lines), encoding="utf-8")
        part.replace(self.path)
