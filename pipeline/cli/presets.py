"""`demoire presets`: which there are, and what they change."""

from __future__ import annotations

from pipeline.cli.commands import Debug

EXAMPLES = (
    "demoire presets",
    "demoire clean talk.mp4 --preset quality",
    "demoire clean talk.mp4 --preset quality --print-config > mine.yaml",
)


def presets(debug: Debug = False) -> None:
    """List the presets with what each of them changes."""
    from rich.console import Console
    from rich.table import Table

    from pipeline import config, layers

    defaults = dict(layers.flattened(config.Config().model_dump()))
    table = Table("preset", "for", "changes", "default", box=None, header_style="bold")
    for preset in config.presets():
        changes = dict(layers.flattened(preset.values))
        table.add_row(
            preset.name,
            preset.about,
            "\n".join(f"{key}={_plain(value)}" for key, value in changes.items()),
            "\n".join(_plain(defaults[key]) for key in changes),
        )
    Console().print(table)


def _plain(value: object) -> str:
    if value is None:
        return "the codec's usual"
    return str(value).lower() if isinstance(value, bool) else str(value)
