"""A screen, a camera and the codec between them: moiré made from first principles, with its truth.

The chain is content -> display -> optics -> sensor -> camera -> codec, one module each; `film` runs
it, `conditions` draws the physical parameters, `clip` moves the camera over time (`shutter`,
`metering` and `clip_codec` are what only time shows), `takes` makes all of it from a seed. From
display to camera it runs on NumPy with OpenCV, all that the base install has, or on torch: see
`arrays` and `primitives`.
"""

SIMULATORS: dict[str, str] = {"screen": "engines.simulate.film:film"}
"""Simulators by name."""
