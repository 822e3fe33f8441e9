"""Semi-planar pictures taken apart: every sample, whatever the width."""

import av
import numpy as np
import pytest

from pipeline.sources.picture import Unpacker, plane_views

HEIGHT = 540


@pytest.mark.parametrize("width", [322, 328, 336, 352, 954, 1904])
@pytest.mark.parametrize(("name", "dtype", "shift"), [("nv12", "u1", 0), ("p010le", "u2", 6)])
def test_no_sample_is_lost_at_any_width(name, dtype, shift, width):
    rng = np.random.default_rng(0)
    picture = av.VideoFrame(width, HEIGHT, name)
    stored = [np.frombuffer(plane, dtype).reshape(plane.height, -1) for plane in picture.planes]
    for plane in stored:
        plane[...] = rng.integers(0, 256 if shift == 0 else 1024, plane.shape) << shift
    wanted = stored[0][:, :width], stored[1][:, :width:2], stored[1][:, 1 : width + 1 : 2]
    unpacker = Unpacker()
    for _ in range(5):  # threads finish in whatever order
        found, _ = plane_views(unpacker.planar(picture))
        for plane, samples in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(plane, samples[:, : plane.shape[1]] >> shift)
