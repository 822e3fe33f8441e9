"""Lanes that do everything as late as they may: what streams of a GPU are allowed to do."""

import torch

from engines.backends.torch_buffers import PlaneBlock


class LateMark:
    def __init__(self, lane, number):
        self._lane = lane
        self._number = number

    def synchronize(self):
        self._lane.run_up_to(self._number)


class LateLane:
    def __init__(self):
        self.waiting = []
        self.done = 0

    def run_up_to(self, number):
        while self.done < number:
            work, after = self.waiting.pop(0)
            if after is not None:
                after.synchronize()
            work()
            self.done += 1


class LateLanes:
    """Implements `Lanes`: a lane's work is done when somebody waits for that."""

    def __init__(self):
        self.device = torch.device("cpu")
        self._lanes = {name: LateLane() for name in ("in", "compute", "smooth", "out")}

    def queue(self, lane, work, *, after=None):
        queue = self._lanes[lane]
        queue.waiting.append((work, after))
        return LateMark(queue, queue.done + len(queue.waiting))

    @property
    def waiting(self):
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def copy(self, target, source):
        target.copy_(source)

    def host_block(self, shapes, batch, *, dtype):
        return PlaneBlock(shapes, batch, dtype=dtype)

    def finish(self):
        for lane in self._lanes.values():
            lane.run_up_to(lane.done + len(lane.waiting))
