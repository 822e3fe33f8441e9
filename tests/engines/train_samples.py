"""Tiny shards and pairs to train on; needs no torch."""

import random

import cv2
import numpy as np

SIDE = 128
TINY = {"analysis": 20, "widths": (8,), "depths": (1,)}
"""The smallest network that learns something."""


def write_shard(folder, number, samples):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"shard-{number:05d}.npy", np.stack(samples))


def sample(luma, u, v):
    """One picture that is its own truth, (2, 3/2 SIDE, SIDE)."""
    planes = np.concatenate([luma, np.concatenate([u, v], axis=1)]).astype(np.uint8)
    return np.stack([planes, planes])


def flat(level):
    chroma = np.full((SIDE // 2, SIDE // 2), level)
    return sample(np.full((SIDE, SIDE), level), chroma, chroma)


def fringed(amplitude):
    """Grey whose luma ripples in the picture but not in the truth."""
    pair = flat(128).copy()
    wave = amplitude * np.sin(np.arange(SIDE) / 3)
    pair[0, :SIDE] = np.rint(128 + wave)
    return pair


def write_shards(folder):
    """Three shards with strong, weak and no moiré in each."""
    for number in range(3):
        write_shard(folder, number, [fringed(amplitude) for amplitude in (60, 50, 8, 5, 0, 0)])
    return folder


def write_pair(folder, name, *, height=96, width=128, level=None):
    """A random picture, or a grey one, and its truth."""
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(random.Random(name).randrange(1000))
    truth = (
        noise.integers(40, 200, (height, width, 3), dtype=np.uint8)
        if level is None
        else np.full((height, width, 3), level, np.uint8)
    )
    cv2.imwrite(str(folder / f"{name}_gt.png"), truth)
    cv2.imwrite(str(folder / f"{name}_moire.png"), truth + 20)
    return folder


def write_pairs(folder, count, **options):
    for number in range(count):
        write_pair(folder, f"{number:02d}", **options)
    return folder
