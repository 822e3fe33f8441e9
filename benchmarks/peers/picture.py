"""Whether the peer cleans: its frames beside demoire's own, frame by frame, without an encoder.

The clip is a simulated filmed screen with strong fringes, since from a clean clip there would be
nothing to take and a peer that does nothing would pass.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_OF_TAKEN = 0.25
"""How much the peer may differ from demoire, as a share of what demoire takes out, both rms."""

SIZE = "960x540"
"""Of that clip."""

_SEED, _CLIP = 11, "0001-scroll_moire.mp4"


def make_clip(folder: Path) -> Path:
    """Return a short clip of a filmed screen, made in `folder`.

    Raises:
        SystemExit: It cannot be made.
    """
    import harness

    command = [harness.demoire(), "simulate", str(folder), "--clips", "2", "--seconds", "0.2"]
    command += ["--size", SIZE, "--camera", "tripod", "--seed", str(_SEED)]
    harness.run_child(command)
    return folder / _CLIP


def compare(source: Path, ours: Path, peer: Path) -> dict[str, float]:
    """Return how far the peer's frames are from ours, measured in a process of its own.

    Raises:
        SystemExit: The frames cannot be compared.
    """
    command = [sys.executable, __file__, str(source), str(ours), str(peer)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit("the peer's frames cannot be compared with ours; see above")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def require_clean(form: str, found: dict[str, float]) -> None:
    """Stop unless the peer took out what demoire does."""
    if found["differs_of_taken"] > MOST_OF_TAKEN:
        sys.exit(
            f"the peer with {form} does not clean as demoire does: it differs by"
            f" {found['differs_rms']:.2f} levels where demoire took {found['taken_rms']:.2f};"
            " a comparison of speeds would be worthless"
        )


def distances(source: Path, ours: Path, peer: Path) -> dict[str, float]:
    """Return root mean squares over all samples of all planes and frames, in 8-bit levels.

    Raises:
        SystemExit: They have different numbers of frames.
    """
    totals, samples, frames = [0.0, 0.0, 0.0], 0, 0
    try:
        for before, mine, other in zip(*map(_frames, (source, ours, peer)), strict=True):
            pairs = ((mine, before), (other, mine), (other, before))
            for index, (one, another) in enumerate(pairs):
                totals[index] += float(((one - another) ** 2).sum())
            samples, frames = samples + before.size, frames + 1
    except ValueError as error:
        sys.exit(f"{source.name}, {ours.name} and {peer.name} have different frames: {error}")
    taken, differs, taken_by_peer = (math.sqrt(total / samples) for total in totals)
    if not taken:
        sys.exit(f"{ours.name}: demoire took nothing out of {source.name}; is the model right?")
    return {
        "frames": frames,
        "taken_rms": taken,
        "taken_by_peer_rms": taken_by_peer,
        "differs_rms": differs,
        "differs_of_taken": differs / taken,
        "psnr_db": 20 * math.log10(255 / max(differs, 1e-6)),
    }


def _frames(path: Path) -> Iterator[Any]:
    """Yield the planes of every frame as one array, (3 H / 2, W) float32 codes."""
    import av
    import numpy as np

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.format.name != "yuv420p":
                sys.exit(f"{path}: expected yuv420p, got {frame.format.name}")
            yield frame.to_ndarray().astype(np.float32)


def main() -> None:
    """Print the distances of three files as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("source", "ours", "peer"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    print(json.dumps(distances(options.source, options.ours, options.peer)))


if __name__ == "__main__":
    main()
