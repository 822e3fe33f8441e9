"""Whole RGB pictures through a back end, as photos go: what is judged is what users get."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine, PictureFormat, Session

Picture = NDArray[np.uint8]

# Folders of pairs rarely mix more sizes; each compiled one holds a copy of the weights.
_KEPT = 4


class PictureCleaner:
    """Calls an engine on RGB pictures of any size; closes its sessions, not the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[tuple[int, int], Session] = {}

    def __call__(self, picture: Picture) -> Picture:
        """Return the cleaned picture, (H, W, 3) uint8 RGB as it came.

        Raises:
            EngineError: The back end failed.
        """
        height, width = picture.shape[:2]
        red, green, blue = (np.ascontiguousarray(picture[..., i]) for i in range(3))
        request = self._session(height, width).submit([(green, blue, red)])
        (planes,) = request.result()
        return np.stack([planes[i] for i in (2, 0, 1)], axis=-1).astype(np.uint8, copy=False)

    def _session(self, height: int, width: int) -> Session:
        size = (height, width)
        if size not in self._sessions:
            while len(self._sessions) >= _KEPT:
                self._sessions.pop(next(iter(self._sessions))).close()
            self._sessions[size] = self._engine.open(PictureFormat("gbr", 8, width, height))
        return self._sessions[size]

    def close(self) -> None:
        """Close every session."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
