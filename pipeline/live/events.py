"""What happens, said as lines for people or as JSON for machines, without anybody's password."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

from pipeline.live.redaction import mask

LogForm = Literal["text", "json"]

_RESERVED = frozenset({"ts", "level", "event", "camera", "message", "exception"})


def log_event(
    logger: logging.Logger,
    event: str,
    message: str,
    *,
    level: int = logging.INFO,
    camera: str | None = None,
    fields: Mapping[str, object] | None = None,
) -> None:
    """Log something that happened.

    Args:
        logger: Of the module where it happened.
        event: What kind of thing, for machines: `source.offline`.
        message: The same for people; taken as it is, `%` means nothing.
        level: Of `logging`.
        camera: Which one it concerns; None for the whole program.
        fields: Anything else, by name; those of the JSON form itself are not replaced.
    """
    extra = {"event": event, "camera": camera, "fields": dict(fields or {})}
    logger.log(level, "%s", message, extra=extra, stacklevel=2)


class MaskSecrets(logging.Filter):
    """Takes user and password out of every URL of a record: message, fields and tracebacks.

    For a handler, not a logger: a logger's filters do not see what its children log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place; it always passes."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # Logging would print the arguments of a wrong format as they are.
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = mask(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_text = mask(record.exc_text) if record.exc_text else record.exc_text
        record.stack_info = mask(record.stack_info) if record.stack_info else record.stack_info
        fields = _fields(record)
        if fields:
            record.fields = {mask(name): _masked(value) for name, value in fields.items()}
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object in one line of ASCII per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; numbers that JSON does not have become `null`."""
        line: dict[str, object] = {
            "ts": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            "camera": getattr(record, "camera", None),
            "message": record.getMessage(),
        }
        if trace := _trace(self, record):
            line["exception"] = trace
        own = {name: value for name, value in _fields(record).items() if name not in _RESERVED}
        return json.dumps(plain(line | own), allow_nan=False)


class TextFormatter(logging.Formatter):
    """The form for people: `17:08:01 warning front: no answer (tries=3)`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in local time, followed by a traceback where there is one."""
        time = _moment(record).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f" {record.levelname.lower()}"
        camera = getattr(record, "camera", None)
        text = f"{time}{level} {camera}: " if camera else f"{time}{level} "
        text += record.getMessage()
        if fields := _fields(record):
            text += f" ({', '.join(f'{name}={value}' for name, value in fields.items())})"
        trace = _trace(self, record)
        return f"{text}\n{trace}" if trace else text


def event_handler(form: LogForm, stream: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes masked lines to a stream, stderr by default."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(MaskSecrets())
    return handler


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the traceback and the stack of a record, empty without either."""
    trace = record.exc_text or ""
    if record.exc_info and not trace:
        trace = formatter.formatException(record.exc_info)
    return "\n".join(part for part in (trace, record.stack_info or "") if part)


def _masked(value: object) -> object:
    """Mask the strings of a value, however deep; what is no JSON becomes a masked string."""
    if isinstance(value, Mapping):
        return {mask(str(name)): _masked(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask(str(value))


def plain(value: object) -> object:
    """Return a value that JSON can say: what it does not know becomes text, NaN becomes None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
