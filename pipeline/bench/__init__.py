"""`demoire bench`: how fast each part of the work is, alone and all together, on this machine.

Every part runs in a child process of its own, so that no part's memory or threads count for
another; `repeats` rounds go through all parts in turn, so that a busy moment falls on all of them.

- `clip`: the input, a simulated filmed screen that anyone can make again.
- `session` (the parent) gives each child a `task` and waits in `children`; `child` is its main.
- `prepare` keeps the pictures that parts work on alone; `files` (decode, encode), `computing`
  (transfer, infer, smooth) and `whole` are the parts.
- `meter` has the clocks, `memory` and `gpu` what else a part costs, `machine` what it ran on.
- `result` is what comes of it, as JSON; `verdict` judges the whole; `compare` tells two apart.
"""
