"""Temporal smoothing: the past, moved to where the picture is now, blended in where it explains it.

`smoother` goes from picture to picture: `bands` finds what rolls over a filmed monitor, `motion`
where the plane went (by `alignment`), `course` what the past is worth, `drift` how exposure
changes, `trust` where the past is believed, `tally` how much flicker goes. Whole planes are for a
`Blender`: `host` with OpenCV and OpenVINO on planes in memory (`warp` moves them), `reference` in
torch on any device.
"""
