"""Temporal smoothing: the past, moved to where the picture is now, blended in where it explains it.

`motion` finds where the picture went, `course` decides what the past is worth, `trust` says where
it is to be believed, and two modules do the arithmetic by the same rules: `reference` in torch, on
whatever device the network's output is, and `host` with OpenCV and OpenVINO, on planes in memory.
"""
