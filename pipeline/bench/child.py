"""The process that measures one part: a task as JSON on stdin, an answer as JSON on stdout."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import cast

import cv2

from engines.errors import DemoireError
from pipeline.bench.gpu import GpuReader, GpuUnreadableError, GpuWatch
from pipeline.bench.result import PartName, Sample
from pipeline.bench.task import COMPUTING, PREPARE, Answer, Failure, Skipped, Task

_MEASURES: dict[PartName, str] = {
    "decode": "pipeline.bench.files:measure_decode",
    "transfer": "pipeline.bench.computing:measure_transfer",
    "infer": "pipeline.bench.computing:measure_infer",
    "smooth": "pipeline.bench.computing:measure_smooth",
    "encode": "pipeline.bench.files:measure_encode",
    "whole_null": "pipeline.bench.whole:measure_whole",
    "whole_encoded": "pipeline.bench.whole:measure_whole",
}
"""Imported only when measured: no part's memory holds what another one needs."""


def main() -> None:
    """Do what stdin says and answer on stdout, which libraries' own words cannot reach."""
    # Ctrl-C reaches every process of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        task = Task.model_validate_json(sys.stdin.read())
        # As in `demoire clean`: OpenCV's own threads would spin beside the others.
        cv2.setNumThreads(1)
        answers.write(answer(task).model_dump_json())


def answer(task: Task) -> Answer:
    """Return what comes of a task, an error that the user can act on too."""
    try:
        if task.part == PREPARE:
            from pipeline.bench.prepare import prepare

            return Answer(prepared=prepare(task))
        found = _measured(task)
    except DemoireError as error:
        return Answer(failure=Failure(kind=type(error).__name__, message=str(error)))
    return Answer(skipped=found) if isinstance(found, Skipped) else Answer(sample=found)


def _measured(task: Task) -> Sample | Skipped:
    """Measure, with an eye on the GPUs where one may be at work."""
    assert task.part != PREPARE
    if task.part not in COMPUTING:
        return _measure(task, task.part)
    try:
        reader = GpuReader()
    except GpuUnreadableError:  # the parent says why, once
        return _measure(task, task.part)
    with GpuWatch(reader.read) as watch:
        found = _measure(task, task.part)
    return found if isinstance(found, Skipped) else found.model_copy(update={"gpus": watch.uses()})


def _measure(task: Task, part: PartName) -> Sample | Skipped:
    module, _, function = _MEASURES[part].partition(":")
    return cast("Sample | Skipped", getattr(import_module(module), function)(task))


if __name__ == "__main__":
    main()
