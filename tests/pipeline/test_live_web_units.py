import asyncio
import json
import socket
import struct
import time
from io import BytesIO

import aiohttp
import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_web import (
    FPS,
    HEIGHT,
    WAIT_S,
    WIDTH,
    Camera,
    clean_picture,
    looked_at,
    original_picture,
    page,
    push,
    serving,
    units,
)

from pipeline.live.access import AccessUnit
from pipeline.live.web import Limits
from pipeline.live.web.browser_codec import codec_string
from pipeline.live.web.packing import FragmentPacker

FRAME = 90_000 // FPS


def test_viewer_gets_the_units_as_they_are_from_a_key_picture_on():
    camera = Camera()
    made = units(6, keys=(0, 2))

    async def watch(server):
        async with page(server) as opened:
            await asyncio.to_thread(looked_at, camera)
            push(server, "clean", made[1:])  # the first is no key picture
            track = await opened.text("track")
            return track, [await opened.unit() for _ in range(4)]

    with serving(camera) as server:
        track, got = asyncio.run(watch(server))
    assert track == {"type": "track", "which": "clean", "codec": "avc1.42c00c"}
    assert [(number, flags) for number, flags, _, _ in got] == [(0, 1), (0, 0), (0, 0), (0, 0)]
    assert [microseconds for _, _, microseconds, _ in got] == [80_000, 120_000, 160_000, 200_000]
    assert [data for *_, data in got] == [unit.data for unit in made[2:]]
    assert sorted(camera.asked[:2]) == ["clean", "original"]


def test_both_pictures_of_a_moment_carry_the_same_time():
    camera = Camera()

    async def watch(server):
        async with page(server) as opened:
            await asyncio.to_thread(looked_at, camera)
            push(server, "clean", units(2, start=777))
            push(server, "original", units(2, picture=original_picture, start=777))
            return [await opened.unit() for _ in range(4)]

    with serving(camera) as server:
        got = asyncio.run(watch(server))
    times = {number: [got[2] for got in got if got[0] == number] for number in (0, 1)}
    assert times[0] == times[1]
    assert len(times[0]) == 2


def test_sound_is_left_out():
    camera = Camera()

    async def watch(server):
        async with page(server) as opened:
            await asyncio.to_thread(looked_at, camera)
            push(server, "clean", [AccessUnit(data=b"la", pts=0, is_key=True, medium="audio")])
            push(server, "clean", units(1, start=90_000))
            return await opened.unit()

    with serving(camera) as server:
        assert asyncio.run(watch(server))[2] == 1_000_000


def noise(index):
    return np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


class Sleeper:
    """A browser that opens the page's socket and reads nothing more."""

    def __init__(self, port):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(
            b"GET /socket?way=units HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        look = json.dumps({"type": "look", "on": True}).encode()
        self.socket.sendall(struct.pack(">BBI", 0x81, 0x80 | len(look), 0) + look)

    def read_pictures(self):
        """Wake up: yield (flags, microseconds) of every picture."""
        with self.socket.makefile("rb") as stream:
            while stream.readline() not in (b"\r\n", b""):
                pass
            while (head := stream.read(2)) and head[0] & 15 in (1, 2):
                size = head[1]
                if size > 125:
                    width = 2 if size == 126 else 8
                    size = int.from_bytes(stream.read(width), "big")
                data = stream.read(size)
                if head[0] & 15 == 2:
                    yield struct.unpack_from(">Bq", data, 1)


def test_slow_browser_loses_its_own_pictures_and_goes_on_at_a_key_picture():
    camera = Camera()
    made = units(60, picture=noise, keys=(0,))
    afterwards = 100_000_000

    def asked_for_clean(count):
        camera.wait_until(lambda camera: camera.asked.count("clean") >= count)

    def read_until_afterwards(sleeper):
        last = 0
        for flags, microseconds in sleeper.read_pictures():
            if microseconds >= afterwards:
                return last, flags
            last = microseconds
        return last, None

    async def watch(server):
        async with page(server) as quick:
            sleeper = Sleeper(server.port)
            await asyncio.to_thread(asked_for_clean, 2)
            for unit in made:
                push(server, "clean", [unit])
                assert (await quick.unit())[2] == unit.pts * 100 // 9  # nobody else waits
            assert camera.asked.count("clean") == 2, "a key picture for one who sleeps"
            reading = asyncio.create_task(asyncio.to_thread(read_until_afterwards, sleeper))
            await asyncio.to_thread(asked_for_clean, 3)
            push(server, "clean", units(2, start=afterwards * 9 // 100))
            last, flags = await reading
            sleeper.socket.close()
            return last, flags

    with serving(camera, limits=Limits(queue_units=5)) as server:
        last, flags = asyncio.run(watch(server))
    assert last < made[-1].pts * 100 // 9, "it was not slow"
    assert flags == 1


def test_server_ends_within_a_second_whatever_browsers_do():
    camera = Camera()

    async def watch(server):
        async with page(server, looks=False) as opened:
            sleeper = Sleeper(server.port)
            await asyncio.to_thread(looked_at, camera)
            push(server, "clean", units(40, picture=noise))
            await opened.text("status")
            began = time.perf_counter()
            ended = asyncio.create_task(asyncio.to_thread(server.close))
            code, _ = await opened.closed()
            await ended
            took_s = time.perf_counter() - began
            sleeper.socket.close()
            return code, took_s

    with serving(camera) as server:
        code, took_s = asyncio.run(watch(server))
        server.close()
        push(server, "clean", units(1))
    assert code == 1001
    assert took_s < 1.5  # about a half; the rest is for a machine that is busy
    assert camera.viewers[-1] == 0


def test_browser_that_takes_nothing_is_disconnected():
    camera = Camera()

    async def watch(server):
        sleeper = Sleeper(server.port)
        await asyncio.to_thread(looked_at, camera)
        push(server, "clean", units(60, picture=noise))
        await asyncio.to_thread(camera.wait_until, lambda camera: camera.viewers[-1] == 0)
        sleeper.socket.close()

    with serving(camera, limits=Limits(stall_s=0.1)) as server:
        asyncio.run(watch(server))


def test_fragments_are_the_same_pictures_without_another_encode():
    camera = Camera()
    made = units(8, keys=(0, 5), start=123_456_789)

    async def watch(server):
        async with page(server, query="way=fragments") as opened:
            await asyncio.to_thread(looked_at, camera)
            push(server, "clean", made)
            track = await opened.text("track")
            return track, [await opened.unit() for _ in range(8)]

    with serving(camera) as server:
        track, got = asyncio.run(watch(server))
    assert track["codec"] == "avc1.42c00c"
    assert got[0][1] == 2  # the head of the file
    file = BytesIO(b"".join(data for *_, data in got))
    with av.open(file) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        times = [float(packet.pts * packet.time_base) for packet in packets]
    assert times == pytest.approx([10 + index / FPS for index in range(7)])
    file.seek(0)
    with av.open(file) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 7
    for index, picture in enumerate(shown):
        assert np.abs(picture.astype(int) - clean_picture(index)).mean() < 6


def test_unit_that_does_not_fit_ends_only_the_page_that_needs_mp4(caplog):
    camera = Camera()
    made = units(1)

    async def watch(server):
        async with page(server) as bystander, page(server, query="way=fragments") as opened:
            await asyncio.to_thread(camera.wait_until, lambda camera: 2 in camera.viewers)
            push(server, "clean", made + made)  # twice the same time
            for _ in range(2):
                assert (await bystander.unit())[3] == made[0].data
            while (await opened.message()).type in (
                aiohttp.WSMsgType.TEXT,
                aiohttp.WSMsgType.BINARY,
            ):
                pass
            await bystander.text("status")

    with serving(camera) as server:
        asyncio.run(watch(server))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "front: a picture does not fit into MP4" in caplog.text


@pytest.mark.parametrize("way", ["units", "fragments"])
def test_units_before_the_first_parameter_set_are_left_out(way):
    camera = Camera()
    broken = AccessUnit(data=b"\0\0\1\x65rubbish", pts=0, is_key=True)

    async def watch(server):
        async with page(server, query=f"way={way}") as opened:
            await asyncio.to_thread(looked_at, camera)
            push(server, "clean", [broken, *units(3, start=90_000)])
            return (await opened.text("track"))["codec"], await opened.unit()

    with serving(camera) as server:
        codec, first = asyncio.run(watch(server))
    assert codec == "avc1.42c00c"
    assert first[2] == {"units": 1_000_000, "fragments": 10_000_000}[way]


def test_both_pictures_share_a_clock_in_fragments_too():
    camera = Camera()
    packer = FragmentPacker({"clean": camera.view().clean, "original": camera.view().original})
    late = units(3, start=-50)
    early = units(4, picture=original_picture, start=-50 - FRAME)
    parts = {"clean": b"", "original": b""}
    for which, made in (("clean", late), ("original", early)):
        for unit in made:
            for message in packer.pack(which, unit):
                parts[which] += message[10:] if isinstance(message, bytes) else b""
    packer.close()
    starts = {}
    for which, data in parts.items():
        with av.open(BytesIO(data)) as container:
            starts[which] = next(container.demux(video=0)).pts
    assert starts["clean"] - starts["original"] == FRAME


@pytest.mark.parametrize(
    ("codec", "encoder", "name"),
    [("h264", "libx264", "avc1.42c00c"), ("hevc", "libx265", "hev1.1.6.L60.90")],
)
def test_codec_is_named_as_browsers_know_it(codec, encoder, name):
    made = units(1, codec=encoder)
    assert codec_string(codec, made[0].data) == name


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["h264", "hevc"]))
def test_codec_of_rubbish_is_unknown_or_harmless(data, codec):
    name = codec_string(codec, data)
    assert name is None or name.startswith(("avc1.", "hev1."))
