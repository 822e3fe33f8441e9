"""What a run writes for people: figures as CSV and for TensorBoard, and pictures."""

from __future__ import annotations

import csv
import logging
import time
from pathlib import Path

import cv2
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from engines.train.validation import Validation

log = logging.getLogger(__name__)


class Journal:
    """`log.csv`, TensorBoard's event files and `sheet.png` of a run; close it.

    Args:
        folder: Of the run; a journal that is found there goes on.
        step: Where the run starts, part of the event file's name.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        # Not SummaryWriter, which needs a thread for a few figures in minutes.
        self._events = EventsWriter(str(folder / "events"), filename_suffix=f".{step}")

    def write(
        self,
        validation: Validation,
        *,
        step: int,
        minutes: float,
        rate: float,
        train_loss: float,
    ) -> None:
        """Add one line of figures and replace the sheet: input, output and truth of samples."""
        row = {
            "step": step,
            "minutes": round(minutes, 1),
            "rate": round(rate, 6),
            "train_loss": round(train_loss, 5),
            "validation_loss": round(validation.loss, 5),
            **validation.gains,
        }
        self._add_row(row)
        for name, value in row.items():
            if name != "step" and value is not None:
                event = Event(wall_time=time.time(), step=step, summary=scalar(name, value))
                self._events.write_event(event)
        self._events.flush()
        # Not imwrite, which only returns that it failed.
        (self._folder / "sheet.png").write_bytes(
            cv2.imencode(".png", validation.sheet())[1].tobytes()
        )
        log.info("%s", ", ".join(f"{name} {value}" for name, value in row.items()))

    def close(self) -> None:
        """Close the event file."""
        self._events.close()

    def _add_row(self, row: dict[str, float | None]) -> None:
        path = self._folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
