"""Built engines on disk: minutes of a compiler's work, kept under a key of all it depends on.

An entry is a file with the engine and one beside it with what it was built of. Both are written
under a temporary name and renamed, so a reader sees a whole entry or none; an entry whose bytes are
not those that were written is taken away and built again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engines.errors import EngineError

_log = logging.getLogger(__name__)

Origin = Mapping[str, str | int | float | list[int]]
"""What an engine is built of; anything that changes the result, or where it runs, is in it."""

_ENGINE = ".engine"
_DIGEST = "sha256"
_ORIGIN = "origin"
_WHAT = "what"


@dataclass(frozen=True)
class CachedEngine:
    """An entry of the cache."""

    key: str
    what: str
    """In words."""
    origin: Origin
    size: int
    """Bytes."""
    made: datetime


class EngineCache:
    """Built engines in a folder.

    Args:
        root: The folder; by default `$DEMOIRE_CACHE`, else `demoire/engines` in the user's cache
            folder (`$XDG_CACHE_HOME`, or `~/.cache`). Made when something is stored.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    def load(self, origin: Origin) -> bytes | None:
        """Return the engine built of `origin`; None where there is none, or a damaged one."""
        path = self._path(cache_key(origin))
        try:
            content = path.read_bytes()
            wanted = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))[_DIGEST]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.discard(origin, because=f"cannot be read: {error}")
            return None
        if hashlib.sha256(content).hexdigest() != wanted:
            self.discard(origin, because="is damaged")
            return None
        return content

    def store(self, origin: Origin, content: bytes, *, what: str) -> Path:
        """Keep an engine and return its file.

        Args:
            origin: What it was built of.
            content: The engine.
            what: The engine in words, for `entries`.

        Raises:
            EngineError: The folder cannot be written to.
        """
        path = self._path(cache_key(origin))
        beside = {
            _WHAT: what,
            _ORIGIN: dict(origin),
            _DIGEST: hashlib.sha256(content).hexdigest(),
        }
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # The engine last: without it there is no entry.
            _write(path.with_suffix(".json"), json.dumps(beside, indent=2).encode())
            _write(path, content)
        except OSError as error:
            raise EngineError(
                f"{self.root}: built engines cannot be kept there ({error.strerror});"
                " set DEMOIRE_CACHE to a folder that can be written to"
            ) from error
        return path

    def discard(self, origin: Origin, *, because: str) -> None:
        """Take an entry away and log why; one that is not there is no error."""
        path = self._path(cache_key(origin))
        _log.warning("%s %s; it is built again", path, because)
        self._remove(path)

    def entries(self) -> list[CachedEngine]:
        """Return what is there, the newest first; files that are no entries are left out."""
        found = []
        for path in self.root.glob(f"*{_ENGINE}"):
            try:
                beside = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
                status = path.stat()
                found.append(
                    CachedEngine(
                        key=path.stem,
                        what=str(beside[_WHAT]),
                        origin=dict(beside[_ORIGIN]),
                        size=status.st_size,
                        made=datetime.fromtimestamp(status.st_mtime, UTC),
                    )
                )
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return sorted(found, key=lambda entry: entry.made, reverse=True)

    def clear(self) -> int:
        """Take every entry away, what is left of unfinished ones too; return how many there were.

        Raises:
            EngineError: One cannot be removed.
        """
        try:
            engines = list(self.root.glob(f"*{_ENGINE}"))
            for path in engines:
                self._remove(path)
            for pattern in ("*.json", "*.part"):
                for path in self.root.glob(pattern):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise EngineError(f"{self.root}: cannot be cleared: {error.strerror}") from error
        return len(engines)

    def _path(self, key: str) -> Path:
        return self.root / f"{key}{_ENGINE}"

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)


def default_root() -> Path:
    """Return where built engines are kept, see `EngineCache`."""
    if chosen := os.environ.get("DEMOIRE_CACHE"):
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "demoire" / "engines"


def cache_key(origin: Origin) -> str:
    """Return the name of the entry for `origin`, 24 hexadecimal digits."""
    text = json.dumps(dict(origin), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _write(path: Path, content: bytes) -> None:
    """Write a file at once or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
