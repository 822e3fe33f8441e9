"""Where the program speaks: results on stdout, everything else on stderr."""

from __future__ import annotations

import logging
import sys

import typer


def say(text: str) -> None:
    """Print a line for the user to stdout."""
    typer.echo(text)


def complain(text: str) -> None:
    """Print `demoire: text` to stderr."""
    typer.echo(f"demoire: {text}", err=True)


class _Prefixed(logging.Formatter):
    """Messages look like errors do; only what is worse than a remark names its level."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        level = f"{record.levelname.lower()}: " if record.levelno != logging.INFO else ""
        return f"demoire: {level}{text}"


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # not generic at run time
    """Writes to whatever stderr is now; tests and progress bars replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_to_stderr(*, debug: bool) -> None:
    """Show this program's own log on stderr: remarks and worse, or everything with `debug`."""
    handler = _StderrHandler()
    handler.setFormatter(_Prefixed("%(message)s"))
    for package in ("pipeline", "engines"):
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(logging.DEBUG if debug else logging.INFO)
