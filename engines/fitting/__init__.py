"""Pictures that a device has too little memory for: fewer at a time, then in tiles.

`tiles` plans how a picture is cut, `tiled` is a session that runs the plan, and `engine` tries what
there is until it fits. What fits at once costs nothing: its session is the back end's own.
"""
