"""A screen, a camera and the codec between them: moiré made from first principles, with its truth.

The chain is content -> display -> optics -> sensor -> camera -> codec, one module each; `film` runs
it, `conditions` draws the physical parameters, `clip` moves the camera over time. NumPy and OpenCV
only: the base install simulates.
"""

SIMULATORS: dict[str, str] = {"screen": "engines.simulate.film:film"}
"""Simulators by name."""
