"""A page of text for tests of measures: dark letters on light grey, with flat margins."""

import cv2
import numpy as np

LINES = (
    "Filmed screens show fringes",
    "that no page has: (12.5 %)",
    "quick brown foxes jump over",
    "a lazy dog, by 14:30 at most",
    "Will it keep every stroke?",
    "Yes; it must, or tell why.",
)
GROUND, INK = 230, 40


def lettered_page():
    """Return a grey page of six lines, (200, 320, 3) uint8 RGB."""
    page = np.full((200, 320, 3), GROUND, np.uint8)
    for number, line in enumerate(LINES):
        at = (24, 40 + 26 * number)
        cv2.putText(page, line, at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (INK,) * 3, 1, cv2.LINE_AA)
    return page
