"""A file under its temporary name until it is complete, and the errors of writing one."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from av.error import FFmpegError

from pipeline.errors import SinkError
from pipeline.sinks.containers import last_words

if TYPE_CHECKING:
    from av.container import OutputContainer

log = logging.getLogger(__name__)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Target:
    """PATH, and PATH.part which becomes it.

    Args:
        path: The final name.
        overwrite: An existing file may be replaced, at the very end.
        option: What names another place, for messages.

    Raises:
        SinkError: The file exists and `overwrite` is off, or there is no such folder.
    """

    path: Path
    part: Path
    completed: bool
    """The final name stands for the finished file."""

    def __init__(self, path: str | Path, *, overwrite: bool, option: str = "-o") -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.completed = False
        self._overwrite = overwrite
        self._option = option
        self._part_is_new = not self.part.exists()
        if self.path.is_dir():
            raise SinkError(f"{self.path}: is a folder; add a file name")
        if not self.path.parent.is_dir():
            raise SinkError(f"{self.path}: its folder does not exist; create it first")
        self._refuse_existing()

    @contextmanager
    def creating(self, detail: str) -> Iterator[None]:
        """Turn failures to create the file into a `SinkError`, and leave no empty file behind."""
        try:
            yield
        except (FFmpegError, ValueError, OSError) as error:
            if self._part_is_new:
                self.part.unlink(missing_ok=True)
            raise SinkError(
                f"{self.path}: cannot be created with {detail}: {self._reason(error)}"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn failures to write the file into a `SinkError`."""
        try:
            yield
        except (FFmpegError, ValueError, OSError) as error:
            raise SinkError(
                f"{self.path}: cannot be written: {self._reason(error)}; what there is stays in"
                f" {self.part.name}"
            ) from error

    def complete(self) -> None:
        """Give the finished file its final name.

        Raises:
            SinkError: Something else has that name by now, or renaming failed.
        """
        self._refuse_existing()
        with self.writing():
            self.part.replace(self.path)
        self.completed = True

    def close_quietly(self, container: OutputContainer) -> None:
        """Close a container after a failure, which may fail for the same reason."""
        try:
            container.close()
        except (FFmpegError, ValueError, OSError) as error:
            log.debug("%s: closing after a failure: %s", self.part, error)

    def _refuse_existing(self) -> None:
        if self.path.exists() and not self._overwrite:
            raise SinkError(f"{self.path}: already exists; add --overwrite or give another name")

    def _reason(self, error: Exception) -> str:
        code = getattr(error, "errno", None)
        if code in _NO_SPACE:
            return f"{last_words(error)}; free some space or write elsewhere with {self._option}"
        if code in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"{last_words(error)}; choose a folder that you may write to with {self._option}"
        return last_words(error)
