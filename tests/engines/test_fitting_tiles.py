"""Tiles: how a picture is cut, and that nobody sees it."""

from collections import deque
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.backends import create_engine
from engines.backends.identity import IdentityEngine
from engines.backends.padding import empty_planes, pad_into, padded_shapes
from engines.engine import CHROMA_SHIFT, PictureFormat, check_pictures
from engines.errors import EngineError
from engines.fitting.tiled import TiledSession, tile_format
from engines.fitting.tiles import HALO, Grid, cut, plan_grids
from engines.simulate.takes import draw_picture, film_picture, load_show

RADIUS = 3


def blurred(plane):
    """What depends on samples up to `RADIUS` away, and beyond the edge on nothing."""
    side = 2 * RADIUS + 1
    return cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_CONSTANT)


class BlurSession:
    """Pads, blurs and crops as a back end does, and only when it is asked for."""

    def __init__(self, picture_format, *, multiple, batch=1, depth=1, fails_at=None):
        self.format, self.batch, self.depth = picture_format, batch, depth
        self.flicker = None
        self.closed = False
        self.requests = 0
        self._shapes = padded_shapes(picture_format, multiple)
        self._fails_at = fails_at
        self._in_flight = deque()

    def submit(self, pictures, *, strength=1.0, moments=()):
        assert not self.closed
        check_pictures(pictures, self.format, self.batch)
        assert len(self._in_flight) < self.depth, "more in flight than it takes"
        inputs = []
        for planes in pictures:
            padded = empty_planes(self.format, self._shapes)
            for plane, target in zip(planes, padded, strict=True):
                pad_into(plane, target)
            inputs.append(padded)
        request = BlurRequest(self, inputs, fails=self.requests == self._fails_at)
        self.requests += 1
        self._in_flight.append(request)
        return request

    def finish(self, request, inputs):
        assert self._in_flight.popleft() is request, "asked out of order"
        shapes = self.format.plane_shapes
        return [
            tuple(blurred(p)[:h, :w] for p, (h, w) in zip(planes, shapes, strict=True))
            for planes in inputs
        ]

    def close(self):
        assert not self._in_flight
        self.closed = True


class BlurRequest:
    def __init__(self, session, inputs, *, fails):
        self._session, self._inputs, self._fails = session, inputs, fails

    def result(self):
        cleaned = self._session.finish(self, self._inputs)
        if self._fails:
            raise EngineError("the device fell off")
        return cleaned


def noise(picture_format, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(0, picture_format.peak + 1, shape, dtype=picture_format.dtype)
        for shape in picture_format.plane_shapes
    )


def grid_of(picture_format, across, down, *, multiple, halo):
    overlap = 2 * halo
    return Grid(
        cut(picture_format.width, across, multiple=multiple, overlap=overlap),
        cut(picture_format.height, down, multiple=multiple, overlap=overlap),
        overlap,
    )


def tiled_and_inner(picture_format, grid, *, multiple=8, **inner):
    session = BlurSession(tile_format(picture_format, grid), multiple=multiple, **inner)
    return TiledSession(session, picture_format, grid), session


def assert_equal(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@given(
    st.integers(1, 9000),
    st.integers(1, 12),
    st.sampled_from([2, 8, 32, 64, 128]),
    st.integers(0, 500),
)
def test_spans_cover_every_sample_once_and_see_beyond_it(length, count, multiple, halo):
    step = multiple // 2
    overlap = 2 * (-(-halo // step) * step)
    spans = cut(length, count, multiple=multiple, overlap=overlap)
    assert 1 <= len(spans) <= count
    assert len({span.stop - span.start for span in spans}) == 1
    assert spans[0].start == spans[0].first == 0
    assert (spans[-1].end, spans[-1].stop) == (length, -(-length // multiple) * multiple)
    for span in spans:
        assert span.start % multiple == span.stop % multiple == 0
        assert span.start <= span.first < span.end <= span.stop
    for left, right in pairwise(spans):
        assert left.start < right.start
        assert left.end == right.first
        assert left.end % 2 == 0
        # Both see the halo beyond the seam, but for the one sample that keeps chroma whole.
        assert min(left.stop - left.end, right.first - right.start) >= overlap // 2 - 1


@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([2, 64, 128]))
def test_every_plan_is_smaller_than_the_one_before_and_none_is_mostly_border(
    width, height, multiple
):
    picture_format = PictureFormat("420", 8, width, height)
    sizes = [(g.width, g.height) for g in plan_grids(picture_format, multiple=multiple)]
    areas = [w * h for w, h in sizes]
    assert areas == sorted(set(areas), reverse=True)
    assert len(areas) < 20
    for w, h in sizes:
        assert max(w, h) >= 3 * HALO


def test_a_picture_that_is_small_itself_is_not_cut():
    assert not list(plan_grids(PictureFormat("420", 8, 1280, 720), multiple=64))


def test_a_plan_says_what_it_is():
    first = next(plan_grids(PictureFormat("420", 8, 3840, 2160), multiple=64))
    assert str(first) == "tiles of 2368x2176 with 896 of overlap"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CHROMA_SHIFT)),
    st.sampled_from([8, 10, 16]),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_tiles_are_as_the_whole_at_any_size(layout, bits, size, counts, room):
    picture_format = PictureFormat(layout, bits, *size)
    whole = BlurSession(picture_format, multiple=8)
    # A radius in chroma is twice that in luma.
    grid = grid_of(picture_format, *counts, multiple=8, halo=8)
    batch, depth = room
    tiled, _ = tiled_and_inner(picture_format, grid, batch=batch, depth=depth)
    waiting = deque()
    for seed in range(4):
        if len(waiting) == tiled.depth:
            number, request = waiting.popleft()
            assert_equal(
                request.result()[0], *whole.submit([noise(picture_format, number)]).result()
            )
        planes = noise(picture_format, seed)
        waiting.append((seed, tiled.submit([planes])))
        for plane in planes:  # they may be used again at once
            plane[...] = 0
    for number, request in waiting:
        assert_equal(request.result()[0], *whole.submit([noise(picture_format, number)]).result())
    tiled.close()


def test_planes_may_be_strided():
    picture_format = PictureFormat("422", 10, 101, 77)
    grid = grid_of(picture_format, 3, 2, multiple=8, halo=8)
    tiled, _ = tiled_and_inner(picture_format, grid)
    planes = noise(picture_format)
    views = tuple(np.repeat(plane, 2, axis=1)[:, ::2] for plane in planes)
    wanted = BlurSession(picture_format, multiple=8).submit([planes]).result()[0]
    assert_equal(tiled.submit([views]).result()[0], wanted)


FORMAT = PictureFormat("420", 8, 90, 60)
GRID = grid_of(FORMAT, 2, 2, multiple=8, halo=8)


def test_a_tile_that_fails_fails_its_own_picture_only():
    tiled, _ = tiled_and_inner(FORMAT, GRID, depth=3, fails_at=2)
    requests = [tiled.submit([noise(FORMAT, seed)]) for seed in range(2)]
    with pytest.raises(EngineError, match="the device fell off"):
        requests[0].result()
    wanted = BlurSession(FORMAT, multiple=8).submit([noise(FORMAT, 1)]).result()[0]
    assert_equal(requests[1].result()[0], wanted)
    tiled.close()


def test_a_request_outlives_its_session():
    tiled, inner = tiled_and_inner(FORMAT, GRID, depth=3)
    request = tiled.submit([noise(FORMAT)])
    tiled.close()
    assert inner.closed
    wanted = BlurSession(FORMAT, multiple=8).submit([noise(FORMAT)]).result()[0]
    assert_equal(request.result()[0], wanted)
    assert_equal(request.result()[0], wanted)


def test_what_is_not_of_the_format_is_refused():
    tiled, _ = tiled_and_inner(FORMAT, GRID)
    with pytest.raises(EngineError, match=r"planes of PictureFormat.* must be"):
        tiled.submit([noise(PictureFormat("420", 8, 90, 62))])
    with pytest.raises(EngineError, match="takes 1 to 1 pictures, got 2"):
        tiled.submit([noise(FORMAT)] * 2)


def filmed(picture_format, seed):
    """A simulated filmed screen, as planes of 4:2:0 in 8 bits."""
    height, width = picture_format.height, picture_format.width
    rgb = film_picture(draw_picture(seed), load_show(()), height=height, width=width).picture
    i420 = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    return i420[:height], chroma[0], chroma[1]


def differences(engine, planes, picture_format, grid):
    """Largest difference between tiles and whole, and largest change of the picture."""
    whole = engine.open(picture_format)
    (wanted,) = whole.submit([planes]).result()
    whole.close()
    inner = engine.open(tile_format(picture_format, grid))
    tiled = TiledSession(inner, picture_format, grid)
    (found,) = tiled.submit([planes]).result()
    tiled.close()

    def largest(some, others):
        return max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(some, others, strict=True))

    return largest(found, wanted), largest(wanted, planes)


@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_tiles_of_the_shipped_network_are_as_the_whole_within_one_level(precision):
    picture_format = PictureFormat("420", 8, 1850, 190)
    (grid,) = plan_grids(picture_format, multiple=64)
    assert (grid.width, len(grid.columns), len(grid.rows)) == (1408, 2, 1)
    engine = create_engine("openvino", model="nano", options={"precision": precision})
    difference, change = differences(engine, filmed(picture_format, 11), picture_format, grid)
    engine.close()
    assert change >= 10, "a network that takes nothing away proves nothing"
    assert difference <= 1


def test_too_small_a_halo_is_seen():
    """The check above can fail: this is what it looks like."""
    picture_format = PictureFormat("420", 8, 1850, 190)
    grid = grid_of(picture_format, 2, 1, multiple=64, halo=32)
    engine = create_engine("openvino", model="nano", options={"precision": "f32"})
    difference, _ = differences(engine, filmed(picture_format, 11), picture_format, grid)
    engine.close()
    assert difference > 3


@pytest.mark.parametrize("layout", ["420", "444", "gbr", "gray"])
@pytest.mark.parametrize("bits", [8, 10])
def test_tiles_of_a_random_network_are_as_the_whole_within_one_level(small_model, layout, bits):
    picture_format = PictureFormat(layout, bits, 1801, 95)
    engine = create_engine("openvino", model=str(small_model), options={"precision": "f32"})
    grid = grid_of(picture_format, 2, 1, multiple=engine.multiple, halo=HALO)
    assert len(grid.columns) == 2
    planes = noise(picture_format)
    difference, change = differences(engine, planes, picture_format, grid)
    engine.close()
    assert change >= 4
    assert difference <= 1


def test_every_back_end_of_the_base_install_tells_its_multiple():
    engine = create_engine("openvino")
    assert engine.multiple == 64
    engine.close()
    assert IdentityEngine().multiple == 2
