"""The processes that measure, from their parent's side."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading

from pydantic import ValidationError

from engines import errors as engine_errors
from pipeline import errors as pipeline_errors
from pipeline.bench.task import MODULE, Answer, Task
from pipeline.errors import DemoireError

log = logging.getLogger(__name__)

_LOOKS_EVERY_S = 0.1
_LAST_WORDS = 2000


class PartError(DemoireError):
    """The process that measures a part ended without an answer."""


class StoppedError(Exception):
    """Ctrl-C: the process that was at work is gone."""


def run_child(task: Task, stop: threading.Event) -> Answer:
    """Have a process of its own do a task, and return its answer.

    Raises:
        StoppedError: `stop` was set meanwhile.
        DemoireError: What the child met, in the class that it has there.
        PartError: It ended without an answer.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        log.debug("measuring %s in process %d", task.part, process.pid)
        with process:
            try:
                output = _output(process, task, stop)
            finally:
                process.kill()
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    log.debug("%s: %s", task.part, words)
    return _checked(task, output, process.returncode, words=words)


def _output(process: subprocess.Popen[bytes], task: Task, stop: threading.Event) -> bytes:
    pending: bytes | None = task.model_dump_json().encode()
    while True:
        if stop.is_set():
            raise StoppedError
        try:
            return process.communicate(pending, timeout=_LOOKS_EVERY_S)[0]
        except subprocess.TimeoutExpired:
            pending = None  # `communicate` keeps what it has not sent yet


def _checked(task: Task, output: bytes, code: int, *, words: str) -> Answer:
    try:
        answer = Answer.model_validate_json(output)
    except ValidationError as error:
        reason = f"code {code}" if code >= 0 else signal.Signals(-code).name
        if code == -signal.SIGKILL:
            reason += ", most likely for want of memory"
        raise PartError(
            f"{task.part}: its process ended with {reason} and without an answer; its last words:"
            f" {words[-_LAST_WORDS:] or '(none)'}"
        ) from error
    if answer.failure is not None:
        raise _as_error(answer.failure.kind, answer.failure.message)
    return answer


def _as_error(kind: str, message: str) -> DemoireError:
    """Return the error that a child met; its class decides the exit code."""
    for module in (pipeline_errors, engine_errors):
        found = getattr(module, kind, None)
        if isinstance(found, type) and issubclass(found, DemoireError):
            return found(message)
    return PartError(message)
