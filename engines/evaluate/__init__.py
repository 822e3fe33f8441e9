"""Judging pictures: how much moiré is left, and what else changed."""

METRICS: dict[str, str] = {
    "psnr": "engines.evaluate.metrics:psnr",
    "aligned_psnr": "engines.evaluate.metrics:aligned_psnr",
    "ssim": "engines.evaluate.metrics:ssim",
    "detail_kept": "engines.evaluate.metrics:detail_kept",
    "text_kept": "engines.evaluate.metrics:text_kept",
    "moire_band_error": "engines.evaluate.metrics:moire_band_error",
    "moire_energy": "engines.evaluate.metrics:moire_energy",
    "relation_error": "engines.evaluate.metrics:relation_error",
    "flicker": "engines.evaluate.metrics:flicker",
    "ghosting": "engines.evaluate.metrics:ghosting",
    "moving_psnr": "engines.evaluate.metrics:moving_psnr",
}
"""Measures by name."""

BASELINES: dict[str, str] = {
    "chroma-blur": "engines.evaluate.baselines:chroma_blur",
    "fft-notch": "engines.evaluate.baselines:fft_notch",
}
"""What a network has to beat, beside doing nothing: functions from picture to picture."""
