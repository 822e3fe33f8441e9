"""Which files to clean, and what each of them becomes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, SinkError
from pipeline.sources.folder import MARK, expand_inputs, is_photo, output_path

COMPARE_MARK = ".compare"
MAPS_MARK = ".maps"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One input and where its results go."""

    source: Path
    target: Path

    @property
    def compare_target(self) -> Path:
        """The before/after clip: NAME.compare.EXT beside the output."""
        stem = self.target.stem.removesuffix(MARK)
        return self.target.with_name(f"{stem}{COMPARE_MARK}{self.target.suffix}")

    @property
    def maps_name(self) -> str:
        """What the names of its sheets begin with."""
        return self.source.stem

    @property
    def is_photo(self) -> bool:
        """Whether the input is a single picture, by its name."""
        return is_photo(self.source)


def plan_jobs(inputs: Sequence[Path], output: Path | None, *, codec: str) -> list[Job]:
    """Return one job for each file among the inputs and in their folders.

    Args:
        inputs: Files and folders; of a folder, its videos and photos, without our own results.
            A file that is missing gets a job, too: it fails when its turn comes.
        output: A file (for one input file) or a folder; beside each input where None.
        codec: Video codec; some need a container of their own.

    Raises:
        SourceError: A folder holds nothing to clean.
        ConfigError: Several inputs with one output file, a photo to become a video or the other
            way round, or two inputs that would become the same file.
    """
    files = list(dict.fromkeys(file for path in inputs for file in _files(path)))
    several = len(files) > 1 or any(path.is_dir() for path in inputs)
    if output is None:
        jobs = [Job(source=file, target=_default(file, file.parent, codec)) for file in files]
    elif output.is_dir() or (several and not _looks_like_file(output)):
        jobs = [Job(source=file, target=_default(file, output, codec)) for file in files]
    elif several:
        raise ConfigError(f"-o {output}: is a file, but several inputs need a folder")
    else:
        jobs = [Job(source=files[0], target=_of_one_kind(files[0], output))]
    _refuse_clashes(jobs)
    return jobs


def make_folder(jobs: Sequence[Job], output: Path | None) -> None:
    """Create the folder that `output` names, unless it is a file's name.

    Raises:
        SinkError: It cannot be created.
    """
    if output is None or any(job.target == output for job in jobs):
        return
    create_folder(output, option="-o")


def make_maps_folder(folder: Path | None) -> None:
    """Create the folder for sheets, if there are to be any.

    Raises:
        SinkError: It cannot be created or not be written to.
    """
    if folder is None:
        return
    create_folder(folder, option="--debug-maps")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"--debug-maps {folder}: you may not write there; give another folder")


def refuse_shared_maps(jobs: Sequence[Job], folder: Path | None) -> None:
    """Raise if there are to be sheets and those of two jobs would have the same names.

    Raises:
        ConfigError: They would.
    """
    if folder is None:
        return
    taken: dict[tuple[str, bool], Job] = {}
    for job in jobs:
        other = taken.setdefault((job.maps_name, job.is_photo), job)
        if other is not job:
            raise ConfigError(
                f"{other.source} and {job.source} would both write {job.maps_name}*.maps.png into"
                f" {folder}; clean them one at a time, each with its own --debug-maps"
            )


def create_folder(folder: Path, *, option: str | None = None) -> None:
    """Create a folder and those above it, if they are missing.

    Args:
        folder: Which.
        option: What named it, for the message.

    Raises:
        SinkError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        named = f"{option} {folder}" if option else str(folder)
        raise SinkError(f"{named}: cannot be made a folder: {error.strerror}") from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    ours = (COMPARE_MARK, MAPS_MARK)
    return [file for file in expand_inputs([path]) if not file.stem.endswith(ours)]


def _default(source: Path, folder: Path, codec: str) -> Path:
    return folder / output_path(source, codec=codec, overwrite=True).name


def _of_one_kind(source: Path, output: Path) -> Path:
    if is_photo(source) != is_photo(output):
        kinds = ("photo", "video") if is_photo(source) else ("video", "photo")
        raise ConfigError(f"-o {output}: {source} is a {kinds[0]} and cannot become a {kinds[1]}")
    return output


def _looks_like_file(output: Path) -> bool:
    return output.exists() or bool(output.suffix)


def _refuse_clashes(jobs: Sequence[Job]) -> None:
    """Raise unless every job has an output of its own."""
    taken: dict[Path, Job] = {}
    for job in jobs:
        other = taken.setdefault(job.target.resolve(), job)
        if other is not job:
            raise ConfigError(
                f"{other.source} and {job.source} would both become {job.target};"
                " clean them one at a time with -o"
            )
