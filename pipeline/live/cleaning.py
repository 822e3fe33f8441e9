"""The network of one camera, with everything that can be left out to keep up made ready before.

A graph takes a second to compile: long before it is needed, and never in the thread that cleans.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from engines.engine import Moment
from engines.errors import EngineError
from engines.half import HalfSession
from pipeline.frame import Frame

if TYPE_CHECKING:
    from engines.engine import Engine, PictureFormat, Session, Smoothing

log = logging.getLogger(__name__)

Work = Literal["smoothed", "plain", "half", "nothing"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the ladder: which engine, and how much of its work."""

    name: str
    engine: str
    """Key of the engines given to `Cleaning`."""
    work: Work


def steps_of(models: Sequence[str]) -> tuple[Step, ...]:
    """Return what can be done, from everything to nothing.

    Args:
        models: The network asked for, and the smaller one if it is another.
    """
    first, *rest = models
    steps = [Step(name="full", engine=first, work="smoothed")]
    steps += [Step(name=model, engine=model, work="smoothed") for model in rest]
    last = models[-1]
    return (
        *steps,
        Step(name="unsmoothed", engine=last, work="plain"),
        Step(name="half", engine=last, work="half"),
        Step(name="pass-through", engine=last, work="nothing"),
    )


_Key = tuple[Step, "Smoothing | None"]


class Cleaning:
    """Cleans frames by the step that is asked for, or the next below that is ready.

    `clean` belongs to one thread; a second one, its own, opens sessions.

    Args:
        engines: By model; they belong to the caller, and may serve others at the same time.
        steps: What `clean` may be asked for.
        on_error: Told of a session that does not open; the step is left out.
    """

    def __init__(
        self,
        engines: dict[str, Engine],
        steps: Sequence[Step],
        *,
        on_error: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._engines, self._steps, self._on_error = engines, tuple(steps), on_error
        self._lock = threading.Condition()
        self._sessions: dict[_Key, Session] = {}
        self._wanted: list[_Key] = []
        self._broken: set[_Key] = set()
        self._retired: list[Session] = []
        self._format: PictureFormat | None = None
        self._closed = self._opening = False
        self._last: Session | None = None
        self._opener = threading.Thread(target=self._open_all, name="demoire-opener", daemon=True)
        self._opener.start()

    def prepare(self, picture_format: PictureFormat, smoothing: Smoothing | None) -> None:
        """Have the sessions of all steps opened for these frames; returns at once."""
        with self._lock:
            if picture_format != self._format:
                self._format = picture_format
                self._retired += self._sessions.values()
                self._sessions, self._broken = {}, set()
            # A time constant that was given up is not needed again soon; memory is.
            stale = [key for key in self._sessions if key[1] not in (None, smoothing)]
            self._retired += [self._sessions.pop(key) for key in stale]
            self._wanted = [
                key
                for key in dict.fromkeys(self._key(step, smoothing) for step in self._steps)
                if key[0].work != "nothing" and key not in {*self._sessions, *self._broken}
            ]
            self._lock.notify_all()

    def clean(
        self, frame: Frame, step: Step, *, strength: float, smoothing: Smoothing | None
    ) -> tuple[Frame, Step]:
        """Return the cleaned frame, and the step that was ready.

        Raises:
            EngineError: The engine failed.
        """
        done = self._ready(frame.format, step, smoothing)
        if done is None:
            self._last = None
            return replace(frame, before=frame.planes), self._steps[-1]
        session, step = done
        moment = Moment(frame.time_s, reset=frame.discontinuity or session is not self._last)
        self._last = session
        request = session.submit([frame.planes], strength=strength, moments=[moment])
        return replace(frame, planes=request.result()[0], before=frame.planes), step

    @property
    def busy(self) -> bool:
        """Whether sessions are being opened, which takes all cores for seconds."""
        with self._lock:
            return self._opening or bool(self._wanted)

    def wait_ready(self, step: Step, smoothing: Smoothing | None, timeout_s: float) -> bool:
        """Wait until that step can be taken, or never will be; return whether it can."""
        key = self._key(step, smoothing)
        with self._lock:
            self._lock.wait_for(lambda: key in self._sessions or key in self._broken, timeout_s)
            return key in self._sessions

    def close(self) -> None:
        """Close all sessions; call it from the thread that cleans, or once that has ended."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        self._opener.join()
        for session in (*self._sessions.values(), *self._retired):
            session.close()
        self._sessions, self._retired = {}, []

    def _key(self, step: Step, smoothing: Smoothing | None) -> _Key:
        """Return what a session is kept by: only smoothed ones depend on smoothing."""
        if step.work == "smoothed" and smoothing is not None:
            return step, smoothing
        plain = next(one for one in self._steps if one.work == "plain")
        same = step.work == "smoothed" and step.engine == plain.engine
        return (plain if same else step), None

    def _ready(
        self, picture_format: PictureFormat, step: Step, smoothing: Smoothing | None
    ) -> tuple[Session, Step] | None:
        """Return the session of a step, or of the next below that is open; None for none."""
        if picture_format != self._format:
            self.prepare(picture_format, smoothing)
        with self._lock:
            retired, self._retired = self._retired, []
            found = None
            for one in self._steps[self._steps.index(step) :]:
                if one.work == "nothing":
                    break
                found = self._sessions.get(self._key(one, smoothing))
                if found is not None:
                    step = one
                    break
        for session in retired:  # in the thread that used them
            session.close()
        return None if found is None else (found, step)

    def _open_all(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                key, picture_format = self._wanted.pop(0), self._format
                self._opening = True
            assert picture_format is not None
            session = self._opened(key, picture_format)
            with self._lock:
                if session is None:
                    self._broken.add(key)
                elif picture_format == self._format and not self._closed:
                    self._sessions[key] = session
                else:
                    self._retired.append(session)
                self._opening = False
                self._lock.notify_all()

    def _opened(self, key: _Key, picture_format: PictureFormat) -> Session | None:
        step, smoothing = key
        engine = self._engines[step.engine]
        try:
            if step.work == "half":
                return HalfSession(engine, picture_format)
            return engine.open(picture_format, smoothing=smoothing)
        except EngineError as error:
            self._on_error(f"{step.name}: {error}")
            return None
