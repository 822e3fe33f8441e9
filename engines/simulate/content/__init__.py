"""Display content: what the filmed screen shows.

Pictures of screens at display resolution, gamma-coded RGB: pages, editors, slides, windows, films,
plain fields, patterns; and scenes, which do the same over time. Everything is drawn with NumPy and
OpenCV; real typefaces (`TextRenderer`, needs Pillow) and photographs (`PhotoLibrary`) make it
richer where they are at hand. Import from here: `kinds` and `scenes` list what can be shown,
`draw`, `text` and `typesetting` are what it is painted with.
"""

from __future__ import annotations

from engines.simulate.content.fonts import TextRenderer
from engines.simulate.content.kinds import CONTENTS, Content, draw_content
from engines.simulate.content.motion import Scene
from engines.simulate.content.photos import PhotoLibrary
from engines.simulate.content.scenes import SCENES, scene
from engines.simulate.content.text import Lettering, builtin_lettering

__all__ = [
    "CONTENTS",
    "SCENES",
    "Content",
    "Lettering",
    "PhotoLibrary",
    "Scene",
    "TextRenderer",
    "builtin_lettering",
    "draw_content",
    "scene",
]
