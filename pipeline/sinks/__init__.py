"""Where frames go. A new sink is one file here and one line in `SINKS`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.errors import SinkError
from pipeline.sources.folder import is_photo

if TYPE_CHECKING:
    from pipeline.media import SourceInfo
    from pipeline.runner import Sink

SINKS: dict[str, str] = {
    "file": "pipeline.sinks.file:FileSink",
    "photo": "pipeline.sinks.photo:PhotoSink",
    "null": "pipeline.sinks.null:NullSink",
    "maps": "pipeline.sinks.maps:MapsSink",
}
"""Sink classes by name; called with where to write and the source's info, then keywords."""


def open_sink(
    spec: str | Path,
    info: SourceInfo,
    *,
    kind: str | None = None,
    **options: Any,  # noqa: ANN401 (each sink declares its own)
) -> Sink:
    """Open a sink.

    Args:
        spec: Where to write: a path, or what the kind of sink understands.
        info: The source that is written, still open.
        kind: Key in `SINKS`; without it, photos are told from videos by their extension.
        options: Keyword arguments of that sink's class.

    Raises:
        SinkError: There is no such kind, or the sink cannot be opened.
        TypeError: The sink has no such option.
    """
    name = kind or ("photo" if is_photo(Path(spec)) else "file")
    if name not in SINKS:
        raise SinkError(f"no sink is called {name!r}; there are {', '.join(SINKS)}")
    module, _, attribute = SINKS[name].partition(":")
    return cast("Sink", getattr(import_module(module), attribute)(spec, info, **options))
