"""Where frames come from. A new source is one file here and one line in `SOURCES`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.errors import SourceError
from pipeline.sources.folder import is_photo

if TYPE_CHECKING:
    from pipeline.runner import Source

SOURCES: dict[str, str] = {
    "file": "pipeline.sources.file:FileSource",
    "photo": "pipeline.sources.photo:PhotoSource",
    "synthetic": "pipeline.sources.synthetic:SyntheticSource",
}
"""Source classes by name; the first argument is what to read, all others are keywords."""


def open_source(spec: str | Path, *, kind: str | None = None, **options: Any) -> Source:  # noqa: ANN401 (each source declares its own)
    """Open a source.

    Args:
        spec: What to read: a path, an address, or what the kind of source understands.
        kind: Key in `SOURCES`; without it, photos are told from videos by their extension.
        options: Keyword arguments of that source's class.

    Raises:
        SourceError: There is no such kind, or the source cannot be opened.
        TypeError: The source has no such option.
    """
    name = kind or ("photo" if is_photo(Path(spec)) else "file")
    if name not in SOURCES:
        raise SourceError(f"no source is called {name!r}; there are {', '.join(SOURCES)}")
    module, _, attribute = SOURCES[name].partition(":")
    return cast("Source", getattr(import_module(module), attribute)(spec, **options))
