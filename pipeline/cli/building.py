"""Following the building of engines: minutes of work that nobody should have to guess at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.inputs import Job
    from pipeline.cli.options import ProgressMode
    from pipeline.config import Config


@dataclass(frozen=True, kw_only=True)
class Build:
    """How far the building of an engine is."""

    what: str
    """In words."""
    share: float
    """Done, 0..1."""
    elapsed_s: float

    @property
    def done(self) -> bool:
        """Whether it is built."""
        return self.share >= 1

    @property
    def figures(self) -> str:
        """Share and time for people: `34 %, 12 s`."""
        return f"{self.share:.0%}".replace("%", " %") + f", {self.elapsed_s:.0f} s"


class BuildWatch:
    """An `engines.engine.OnBuild` that adds the time, and keeps what was built.

    Args:
        show: Told of every call, one at a time, from whatever thread the call comes.
        clock_s: The time in seconds.
    """

    def __init__(
        self, show: Callable[[Build], None], *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.built: list[Build] = []
        """The last state of each engine that was built, in their order."""
        self._show, self._clock_s = show, clock_s
        self._begun_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, what: str, share: float) -> None:
        """See `engines.engine.OnBuild`."""
        with self._lock:
            if share >= 1 and what not in self._begun_s:
                return  # said before
            now_s = self._clock_s()
            begun_s = self._begun_s.setdefault(what, now_s)
            build = Build(what=what, share=share, elapsed_s=now_s - begun_s)
            if build.done:
                del self._begun_s[what]
                self.built.append(build)
            self._show(build)


def refuse_unbuilt(backend: str) -> None:
    """Raise unless a back end builds engines.

    Raises:
        ConfigError: It does not.
        EngineError: There is no such back end, or it cannot be imported.
    """
    from engines.backends import builds

    if not builds(backend):
        raise ConfigError(f"engine {backend} builds nothing ahead: it is ready without")


def summary(builds: Sequence[Build], *, wall_s: float) -> str:
    """Return what was built, in words.

    Args:
        builds: What was built; nothing where all was there.
        wall_s: How long it took until everything was ready.
    """
    if not builds:
        return f"nothing to build, it was kept from before; ready in {wall_s:.1f} s"
    return ", ".join(f"built {build.what} in {build.elapsed_s:.1f} s" for build in builds)


def build_all(jobs: Sequence[Job], config: Config, *, progress: ProgressMode) -> None:
    """Build the engines that jobs need, and write nothing.

    Raises:
        DemoireError: An input cannot be read, or its engine not be built.
        ConfigError: The engine builds nothing.
    """
    from contextlib import closing

    from pipeline.cli.job import Cleaner
    from pipeline.cli.progress import create_display

    display = create_display(progress)
    with closing(Cleaner(config, overwrite=False, display=display)) as cleaner:
        for job in jobs:
            begun_s = time.monotonic()
            try:
                built = cleaner.build(job)
            except BaseException as error:
                display.fail(job.source, str(error))
                raise
            wall_s = time.monotonic() - begun_s
            record = {
                "input": str(job.source),
                "built": [{"what": b.what, "seconds": round(b.elapsed_s, 3)} for b in built],
                "wall_s": round(wall_s, 3),
            }
            display.succeed(f"{job.source}: {summary(built, wall_s=wall_s)}", record)
