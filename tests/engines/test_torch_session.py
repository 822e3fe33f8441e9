"""Slots, lanes and pools of the back ends made of torch, where a device does things late."""

import gc
from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `torch`")

import torch
from late_lanes import LateLanes
from slow_decoder import SlowDecoder
from test_conformance import assert_equal, picture

from engines.backends.padding import padded_shapes
from engines.backends.torch_buffers import PlaneBlock, ResultPool
from engines.backends.torch_lanes import HostLanes
from engines.backends.torch_program import Program, Work
from engines.backends.torch_session import TorchSession
from engines.engine import Moment, PictureFormat, Smoothing, TakesDevicePictures
from engines.errors import EngineError
from engines.models.planes import IntegerPlanes

FORMAT = PictureFormat("420", 8, 100, 70)
SMOOTHING = Smoothing(luma_s=0.15, chroma_s=0.25, deband=True)
LANES = {"late": LateLanes, "at once": lambda: HostLanes(torch.device("cpu"))}


@pytest.fixture(params=LANES)
def lanes(request):
    return LANES[request.param]()


def work_of(cleaning, picture_format=FORMAT, batch=1):
    shapes = padded_shapes(picture_format, 64)
    dtype = torch.uint8 if picture_format.bits == 8 else torch.uint16
    source, target = (PlaneBlock(shapes, batch, dtype=dtype) for _ in range(2))
    program = Program(cleaning, source, target, flags=nullcontext)
    return Work(picture_format, shapes, batch, program=program, run=program, backend="torch")


def session_of(network, lanes, *, picture_format=FORMAT, batch=1, depth=3, smoothing=None):
    cleaning = IntegerPlanes(network, picture_format.layout, picture_format.bits)
    return TorchSession(
        work_of(cleaning, picture_format, batch), lanes, depth=depth, smoothing=smoothing
    )


def one_by_one(network, pictures, picture_format=FORMAT, smoothing=None):
    """What a session of one request at a time makes of a clip."""
    lanes = HostLanes(torch.device("cpu"))
    session = session_of(
        network, lanes, picture_format=picture_format, depth=1, smoothing=smoothing
    )
    return [
        session.submit([planes], moments=[Moment(n / 30)]).result()[0]
        for n, planes in enumerate(pictures)
    ]


def still(count):
    """The same picture again and again, each time with noise of its own."""
    rng = np.random.default_rng(5)
    clean = picture(FORMAT, low=0.2, high=0.8)
    return [
        tuple(np.rint(p + rng.normal(0, 1.5, p.shape)).astype(np.uint8) for p in clean)
        for _ in range(count)
    ]


def kept_in_flight(session, pictures):
    """Results in order, with as many requests in flight as there may be."""
    requests, found = [], []
    for n, planes in enumerate(pictures):
        if len(requests) == session.depth:
            found += requests.pop(0).result()
        copy = tuple(plane.copy() for plane in planes)
        requests.append(session.submit([copy], moments=[Moment(n / 30)]))
        for plane in copy:
            plane[...] = 0  # which the caller may
    for request in requests:
        found += request.result()
    return found


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("picture_format", [FORMAT, PictureFormat("gbr", 10, 65, 33)], ids=str)
def test_requests_in_flight_do_not_mix(network, lanes, picture_format, depth):
    pictures = [picture(picture_format, seed) for seed in range(7)]
    session = session_of(network, lanes, picture_format=picture_format, depth=depth)
    found = kept_in_flight(session, pictures)
    session.close()
    for one, other in zip(found, one_by_one(network, pictures, picture_format), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("depth", [1, 3])
def test_smoothing_is_the_same_with_requests_in_flight(network, lanes, depth):
    pictures = still(8)
    wanted = one_by_one(network, pictures, smoothing=SMOOTHING)
    session = session_of(network, lanes, depth=depth, smoothing=SMOOTHING)
    found = kept_in_flight(session, pictures)
    session.close()
    assert session.flicker.frames > 0
    assert not np.array_equal(found[-1][0], one_by_one(network, pictures)[-1][0])
    for one, other in zip(found, wanted, strict=True):
        assert_equal(one, other)


def test_a_batch_is_smoothed_in_order(network, lanes):
    pictures = still(6)
    wanted = one_by_one(network, pictures, smoothing=SMOOTHING)
    session = session_of(network, lanes, batch=3, smoothing=SMOOTHING)
    found = []
    for start, count in ((0, 3), (3, 1), (4, 2)):
        moments = [Moment(n / 30) for n in range(start, start + count)]
        found += session.submit(pictures[start : start + count], moments=moments).result()
    for one, other in zip(found, wanted, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.abs(a.astype(int) - b).max() <= 1  # sums of another order


def test_each_request_has_its_own_strength(network, lanes):
    planes = picture(FORMAT)
    session = session_of(network, lanes)
    requests = [session.submit([planes], strength=share) for share in (0.0, 1.0, 0.0)]
    first, second, third = (request.result()[0] for request in requests)
    assert_equal(first, planes)
    assert_equal(third, planes)
    assert not np.array_equal(second[0], planes[0])


def test_a_request_nobody_waits_for_is_smoothed_all_the_same(network, lanes):
    pictures = still(4)
    wanted = one_by_one(network, pictures, smoothing=SMOOTHING)
    session = session_of(network, lanes, depth=2, smoothing=SMOOTHING)
    requests = [
        session.submit([planes], moments=[Moment(n / 30)]) for n, planes in enumerate(pictures)
    ]
    for request, planes in zip(requests[2:], wanted[2:], strict=True):
        assert_equal(request.result()[0], planes)
    session.close()


def test_closing_waits_for_what_is_in_flight(network):
    lanes = LateLanes()
    session = session_of(network, lanes)
    planes = picture(FORMAT)
    request = session.submit([planes])
    assert lanes.waiting
    session.close()
    assert not lanes.waiting
    assert_equal(request.result()[0], one_by_one(network, [planes])[0])
    with pytest.raises(EngineError, match="the session is closed"):
        session.submit([planes])


def test_a_session_that_was_not_closed_waits_before_its_buffers_go(network):
    class Watched(HostLanes):
        finished = 0

        def finish(self):
            self.finished += 1

    lanes = Watched(torch.device("cpu"))
    session = session_of(network, lanes)
    session.submit([picture(FORMAT)])
    assert not lanes.finished
    del session
    gc.collect()
    assert lanes.finished


def test_a_failure_on_the_device_is_the_requests_own(network, lanes):
    good = IntegerPlanes(network, "420", 8)
    calls = []

    def fails_once(planes, strength):
        calls.append(strength)
        if len(calls) == 2:
            raise RuntimeError("an illegal memory access")
        return good(planes, strength)

    session = TorchSession(work_of(fails_once), lanes, depth=3, smoothing=None)
    planes = picture(FORMAT)
    session.submit([planes]).result()
    with pytest.raises(EngineError, match=r"torch: .*an illegal memory access"):
        session.submit([planes]).result()
    assert_equal(session.submit([planes]).result()[0], one_by_one(network, [planes])[0])


def test_making_a_session_that_smooths_leaves_results_of_every_format_alone(network):
    for layout, bits in (("420", 8), ("gray", 16), ("gbr", 10)):
        picture_format = PictureFormat(layout, bits, 70, 50)
        work = work_of(IntegerPlanes(network, layout, bits), picture_format, batch=2)
        work.program()
        kept, parts = work.program.target.flat.clone(), []

        def keep(part, parts=parts):
            parts.append(part)
            part()
            return part

        lanes = HostLanes(torch.device("cpu"))
        TorchSession(work, lanes, depth=1, smoothing=SMOOTHING, keep=keep)
        assert len(parts) == 5
        assert torch.equal(work.program.target.flat, kept)


def test_parts_of_smoothing_that_ran_before_the_first_picture_leave_no_trace(network):
    """A GPU runs each of them before it keeps it as a graph."""

    def keep(part):
        part()
        return part

    pictures = still(3)
    work = work_of(IntegerPlanes(network, FORMAT.layout, FORMAT.bits), FORMAT, batch=1)
    lanes = HostLanes(torch.device("cpu"))
    session = TorchSession(work, lanes, depth=1, smoothing=SMOOTHING, keep=keep)
    for n, wanted in enumerate(one_by_one(network, pictures, smoothing=SMOOTHING)):
        (found,) = session.submit([pictures[n]], moments=[Moment(n / 30)]).result()
        assert_equal(found, wanted)


def test_what_was_smoothed_is_not_the_graphs_memory(network):
    """A graph's outputs are overwritten by the next picture; the past must not be."""
    session = session_of(network, HostLanes(torch.device("cpu")), smoothing=SMOOTHING)
    pictures = still(4)
    found = []
    for n, planes in enumerate(pictures):
        (result,) = session.submit([planes], moments=[Moment(n / 30)]).result()
        found.append(tuple(plane.copy() for plane in result))
        for slot in session._slots:
            slot.target.flat.fill_(77)
    for one, other in zip(found, one_by_one(network, pictures, smoothing=SMOOTHING), strict=True):
        assert_equal(one, other)


class Blocks:
    """Makes blocks and counts them."""

    def __init__(self):
        self.made = 0

    def __call__(self):
        self.made += 1
        return PlaneBlock([(8, 16), (4, 8)], 2, dtype=torch.uint8)


def test_a_part_of_a_part_keeps_its_block():
    pool = ResultPool(Blocks(), Blocks(), in_flight=1)
    free = pool.free
    block, planes = pool.take()
    block.flat.fill_(5)
    part = planes[1][1, 0, :3][1:]
    del block, planes
    for _ in range(free):
        other, _ = pool.take()
        other.flat.fill_(9)
    np.testing.assert_array_equal(part, np.full((2, 8), 5))


def test_a_block_comes_back_with_its_last_array():
    pool = ResultPool(Blocks(), Blocks(), in_flight=2)
    free = pool.free
    _, planes = pool.take()
    assert pool.free == free - 1
    first, second = planes
    del planes, first, _
    assert pool.free == free - 1
    del second
    assert pool.free == free


def test_a_caller_that_keeps_everything_is_given_ordinary_memory():
    kept, ordinary = Blocks(), Blocks()
    pool = ResultPool(kept, ordinary, in_flight=2)
    taken = []
    for number in range(kept.made + 3):
        block, planes = pool.take()
        block.flat.fill_(number)
        taken.append(planes)
    assert ordinary.made == 3
    assert [int(planes[0][0, 0, 0, 0]) for planes in taken] == list(range(len(taken)))
    del taken, planes, block
    assert pool.free == kept.made


def test_large_results_keep_fewer_blocks():
    def large():
        return PlaneBlock([(1 << 13, 1 << 14)], 1, dtype=torch.uint8)  # 128 MB, never touched

    assert ResultPool(large, large, in_flight=1).free == 2
    assert ResultPool(large, large, in_flight=4).free == 4


def test_the_planes_of_a_block_are_parts_of_it():
    block = PlaneBlock([(4, 8), (2, 4), (2, 4)], 3, dtype=torch.uint16)
    whole, arrays = block.arrays()
    for number, (plane, array) in enumerate(zip(block.planes, arrays, strict=True)):
        plane.copy_(torch.full(plane.shape, number, dtype=torch.int32))
        assert array.shape == tuple(plane.shape)
        assert array.dtype == np.uint16
        assert (array == number).all()
    assert whole.size == 3 * (32 + 8 + 8)


class DeviceTakingSession(TorchSession):
    """As `CudaSession`, with host memory for the device's."""

    submit_device = TorchSession._submit_device


def taking_session(network, lanes, picture_format, **options):
    cleaning = IntegerPlanes(network, picture_format.layout, picture_format.bits)
    work = work_of(cleaning, picture_format, options.pop("batch", 1))
    return DeviceTakingSession(
        work, lanes, **({"depth": 3, "smoothing": options.pop("smoothing", None)} | options)
    )


class TestFromTheDevice:
    @pytest.mark.parametrize("size", [(64, 64), (100, 70), (33, 31), (1, 1), (2, 3)], ids=str)
    @pytest.mark.parametrize("bits", [8, 10, 16])
    def test_pictures_are_those_of_the_host(self, network, lanes, bits, size):
        form = PictureFormat("420", bits, *size)
        pictures = [picture(form, seed) for seed in range(5)]
        session, decoder = taking_session(network, lanes, form), SlowDecoder(None)
        assert isinstance(session, TakesDevicePictures)
        requests, found = [], []
        for number, planes in enumerate(pictures):
            if len(requests) == session.depth:
                found += requests.pop(0).result()
            if number == 2:
                requests.append(session.submit([planes]))
            else:
                requests.append(session.submit_device([decoder.picture(planes, bits)]))
        for request in requests:
            found += request.result()
        session.close()
        gc.collect()
        assert decoder.left == 0
        for one, other in zip(found, one_by_one(network, pictures, form), strict=True):
            assert_equal(one, other)

    def test_they_are_smoothed_in_batches(self, network, lanes):
        pictures = still(6)
        wanted = one_by_one(network, pictures, smoothing=SMOOTHING)
        session = taking_session(network, lanes, FORMAT, batch=2, smoothing=SMOOTHING)
        decoder, found = SlowDecoder(None), []
        for start in (0, 2, 4):
            moments = [Moment(n / 30) for n in (start, start + 1)]
            two = [decoder.picture(planes) for planes in pictures[start : start + 2]]
            found += session.submit_device(two, moments=moments).result()
        for one, other in zip(found, wanted, strict=True):
            for a, b in zip(one, other, strict=True):
                assert np.abs(a.astype(int) - b).max() <= 1  # sums of another order

    def test_wrong_ones_are_refused(self, network, lanes):
        session, decoder = taking_session(network, lanes, FORMAT), SlowDecoder(None)
        ten, large = PictureFormat("420", 10, 100, 70), PictureFormat("420", 8, 102, 70)
        with pytest.raises(EngineError, match="a picture of 10 bits came"):
            session.submit_device([decoder.picture(picture(ten), 10)])
        with pytest.raises(EngineError, match=r"torch: a decoder's picture must be .*102"):
            session.submit_device([decoder.picture(picture(large))])
        (found,) = session.submit_device([decoder.picture(picture(FORMAT))]).result()
        assert_equal(found, one_by_one(network, [picture(FORMAT)])[0])
        session.close()
        with pytest.raises(EngineError, match="the session is closed"):
            session.submit_device([decoder.picture(picture(FORMAT))])

    def test_a_session_on_a_cpu_takes_none(self, network, lanes):
        assert not isinstance(session_of(network, lanes), TakesDevicePictures)
