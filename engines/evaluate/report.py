"""What an evaluation leaves behind: JSON for programs, Markdown for a log, HTML to look at."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.evaluate.crops import Crop
from engines.evaluate.judge import INPUT, Judgement
from engines.evaluate.strips import Strips, sheet
from engines.evaluate.summary import KEPT, badness, most_harmed, summarise
from engines.evaluate.video import MODEL, SMOOTHED

Picture = NDArray[np.uint8]

_SHOWN = 40
_JPEG_QUALITY = 92

_MEASURES = (
    ("moire_band_error_ratio", "moiré-band error, out/in", 3),
    ("moire_energy_ratio", "moiré energy, out/in", 3),
    ("aligned_psnr_gain", "colour-aligned PSNR, gain in dB", 2),
    ("psnr_gain", "PSNR, gain in dB", 2),
    ("ssim_gain", "SSIM, gain", 4),
    ("text_kept", "text kept, of the truth's", 3),
    ("text_kept_ratio", "text kept, out/in", 3),
    ("detail_kept", "detail kept, of the truth's", 3),
    ("detail_kept_ratio", "detail kept, out/in", 3),
    ("relation_error_ratio", "relation error, out/in", 3),
    ("flicker_ratio", "flicker, out/in", 3),
    ("moving_psnr_gain", "PSNR in motion, gain in dB", 2),
    ("ghosting", "ghosting, of the past", 3),
    ("relation_error_over_model", "relation error, over model", 3),
    ("flicker_over_model", "flicker, over model", 3),
    ("psnr_less_model", "PSNR, less model in dB", 2),
    ("moving_psnr_less_model", "PSNR in motion, less model in dB", 2),
    ("ghosting_less_model", "ghosting, less model", 3),
)
_HARM = "PSNR to themselves in dB"
_HARMED = "Clean pictures that the model changed most"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .3rem .8rem; text-align: right }
th { border-bottom: 1px solid #888 } td:first-child, th:first-child { text-align: left }
figure { margin: 2rem 0 } figcaption { margin-bottom: .4rem }
.crops { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 6px }
.strips img { width: 100%; margin-top: 6px }
.crops img { width: 100% } .crops span { display: block; font-size: 13px; color: #777 }
"""


@dataclass(frozen=True)
class Evaluation:
    """One model on one set."""

    kind: str
    """What it was judged on: pairs, photos, simulated or clips."""
    source: str
    """The folder, or how many pictures were simulated."""
    model: str
    engine: str
    """What really ran, in words."""
    judgements: list[Judgement]

    @property
    def title(self) -> str:
        """One line that names it."""
        return f"{self.model} on {len(self.judgements)} {self.kind} ({self.source})"

    def to_json(self) -> dict[str, Any]:
        """Return everything but pictures, in plain values."""
        return {
            "kind": self.kind,
            "source": self.source,
            "model": self.model,
            "engine": self.engine,
            "summary": summarise(self.judgements),
            "cases": [
                {
                    "name": judgement.name,
                    "strength": judgement.strength,
                    "groups": list(judgement.groups),
                    "do_no_harm_db": judgement.harm_db,
                    "scores": judgement.scores,
                }
                for judgement in self.worst_first()
            ],
        }

    def worst_first(self) -> list[Judgement]:
        """Return the judgements, those with most moiré left first."""
        return sorted(self.judgements, key=badness, reverse=True)


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write every figure; NaN and infinity become null."""
    text = json.dumps(_finite(evaluation.to_json()), indent=2, allow_nan=False)
    _write(path, text + "\n")


def write_markdown(evaluation: Evaluation, path: Path) -> None:
    """Write the summary as tables."""
    _write(path, markdown(evaluation))


def write_html(evaluation: Evaluation, path: Path) -> None:
    """Write one self-contained page: tables, then crops before and after, worst first.

    What clean pictures lost comes before what is left of moiré.
    """
    parts = [
        "<!doctype html><meta charset='utf-8'>",
        f"<title>{html.escape(evaluation.title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(evaluation.title)}</h1><p>{html.escape(evaluation.engine)}</p>",
    ]
    for heading, rows in tables(evaluation):
        parts.append(f"<h2>{html.escape(heading)}</h2><table>")
        for number, row in enumerate(rows):
            tag = "td" if number else "th"
            cells = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            parts.append(f"<tr>{cells}</tr>")
        parts.append("</table>")
    if harmed := most_harmed(evaluation.judgements):
        parts.append(f"<h2>{_HARMED}</h2>")
        parts += [
            _figure(f"{j.name}, clean", f"{j.harm_db:.1f} dB PSNR to itself", j.harm_crop)
            for j in harmed
        ]
    parts.append("<h2>Where most moiré was, worst first</h2>")
    parts += [
        _figure(j.name, _changes(j), j.crop, j.strips) for j in evaluation.worst_first()[:_SHOWN]
    ]
    _write(path, "\n".join(parts))


def row_path(folder: Path, name: str) -> Path:
    """Return where `write_rows` puts the picture of the clip of this name."""
    return (folder / name).with_suffix(".row.png")


def write_rows(evaluation: Evaluation, folder: Path) -> None:
    """Write a picture for each clip: a column over time by method, stacked; see `strips`."""
    for judgement in evaluation.judgements:
        if judgement.strips is not None:
            path = row_path(folder, judgement.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, _encoded(sheet(judgement.strips), ".png"))


def markdown(evaluation: Evaluation) -> str:
    """Return the summary as Markdown."""
    lines = [f"# {evaluation.title}", "", evaluation.engine, ""]
    for heading, (header, *rows) in tables(evaluation):
        lines += [f"## {heading}", "", _row(header), _row(["---"] * len(header))]
        lines += [*map(_row, rows), ""]
    return "\n".join(lines)


def tables(evaluation: Evaluation) -> list[tuple[str, list[list[str]]]]:
    """Return (heading, rows with a header) of each table; figures are means (medians)."""
    summary = summarise(evaluation.judgements)
    found = [("All", _table(summary["all"]))]
    for name, figures in summary.get("by_strength", {}).items():
        found.append((f"Input with {name} moiré ({figures['count']})", _table(figures)))
    for name, figures in summary.get("by_scene", {}).items():
        found.append((f"{name.capitalize()} ({figures['count']})", _table(figures)))
    if harm := summary.get("do_no_harm_db"):
        row = [f"{harm[key]:.1f}" for key in ("mean", "median", "min")]
        heading = f"Clean pictures through the model, {_HARM}"
        found.append((heading, [["", "mean", "median", "worst"], ["model", *row]]))
    if worst := summary.get("do_no_harm_worst"):
        rows = [[case["name"], f"{case['db']:.1f}"] for case in worst]
        found.append((_HARMED, [["picture", _HARM], *rows]))
    return found


def _table(figures: dict[str, Any]) -> list[list[str]]:
    """Return one row a measure, one column a method."""
    methods = [name for name in figures if name != "count"]
    rows = [["mean (median)", *methods]]
    for key, title, digits in _MEASURES:
        spreads = [figures[method].get(key) for method in methods]
        if any(spreads):
            count = max(spread["count"] for spread in spreads if spread)
            if key in KEPT and count < figures["count"]:
                title = f"{title} ({count} of {figures['count']})"
            rows.append([title, *(_cell(spread, digits) for spread in spreads)])
    return rows


def _cell(spread: dict[str, float] | None, digits: int) -> str:
    return f"{spread['mean']:.{digits}f} ({spread['median']:.{digits}f})" if spread else "-"


def _row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _changes(judgement: Judgement) -> str:
    methods = [name for name in (INPUT, MODEL, SMOOTHED) if name in judgement.scores]
    return ", ".join(
        f"{measure} {' → '.join(f'{judgement.scores[name][measure]:.3g}' for name in methods)}"
        for measure, before in judgement.scores[INPUT].items()
        if not np.isnan(before)
    )


def _figure(name: str, said: str, crop: Crop | None, strips: Strips | None = None) -> str:
    if crop is None:
        return ""
    pictures = "".join(
        f"<div><img src='{_data_url(picture)}' alt='{label}'><span>{label}</span></div>"
        for label, picture in _labelled(crop)
    )
    caption = f"<b>{html.escape(name)}</b>: {html.escape(said)}"
    shown = f"<figcaption>{caption}</figcaption><div class='crops'>{pictures}</div>"
    if strips:
        source = _data_url(sheet(strips))
        shown += f"<div class='strips'><img src='{source}' alt='a column over time'></div>"
    return f"<figure>{shown}</figure>"


def _labelled(crop: Crop) -> list[tuple[str, Picture]]:
    found = [("before", crop.before), ("after", crop.after), ("removed, x4", crop.removed)]
    return found if crop.truth is None else [*found, ("truth", crop.truth)]


def _data_url(picture: Picture) -> str:
    data = _encoded(picture, ".jpg", cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _encoded(picture: Picture, suffix: str, *options: int) -> bytes:
    bgr = np.ascontiguousarray(picture[..., ::-1])
    written, data = cv2.imencode(suffix, bgr, options)
    assert written
    return data.tobytes()


def _finite(value: Any) -> Any:  # noqa: ANN401  # plain JSON values of any depth
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    if isinstance(value, float):
        return round(value, 5) if np.isfinite(value) else None
    return value


def _write(path: Path, content: str | bytes) -> None:
    """Write a file, complete or not at all."""
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(content if isinstance(content, bytes) else content.encode())
    partial.rename(path)
