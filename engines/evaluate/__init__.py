"""Judging pictures: how much moiré is left, and what else changed."""

METRICS: dict[str, str] = {
    "psnr": "engines.evaluate.metrics:psnr",
    "aligned_psnr": "engines.evaluate.metrics:aligned_psnr",
    "moire_band_error": "engines.evaluate.metrics:moire_band_error",
    "moire_energy": "engines.evaluate.metrics:moire_energy",
}
"""Measures by name."""
