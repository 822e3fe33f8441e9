"""What TensorBoard would read from a run's folder."""

import struct

from tensorboardX.proto.event_pb2 import Event


def read_events(folder):
    """Return {(tag, step): value} of all event files, by the format of TFRecord."""
    figures = {}
    for path in sorted(folder.glob("*tfevents*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])  # a checksum follows the length
            for value in event.summary.value:
                figures[value.tag, event.step] = value.simple_value
            data = data[12 + length + 4 :]
    return figures
