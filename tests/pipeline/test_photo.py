"""Photos in and out, and which files a command means."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from media_files import make

from pipeline.errors import ConfigError, SinkError, SourceError
from pipeline.sinks import open_sink
from pipeline.sinks.photo import PhotoSink
from pipeline.sources import open_source
from pipeline.sources.folder import expand_inputs, output_path
from pipeline.sources.photo import PhotoSource
from pipeline.sources.photo_blocks import PNG_MAGIC, png_chunks, read_blocks

EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
PROFILE = bytes(range(256)) * 300  # more than one JPEG segment holds
PHOTO_SHAPES = {
    "grey8": ((49, 63), np.uint8),
    "grey16": ((49, 63), np.uint16),
    "rgb8": ((49, 63, 3), np.uint8),
    "rgb16": ((49, 63, 3), np.uint16),
    "rgba8": ((49, 63, 4), np.uint8),
    "rgba16": ((49, 63, 4), np.uint16),
}


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(7).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def smooth(shape=(48, 64, 3)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [np.sin(x / 9 + k) * 60 + np.cos(y / 7 + 2 * k) * 50 + 128 for k in range(3)]
    pixels = np.stack(waves, -1).astype(np.uint8)
    return pixels if len(shape) == 3 else pixels[..., 0]


def save(path, pixels, *flags):
    assert cv2.imwrite(str(path), pixels, list(flags))
    return path


def load(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def copy(path, target, **options):
    source = PhotoSource(path)
    sink = PhotoSink(target, source.info, **options)
    for frame in source.frames():
        sink.write(frame)
    sink.finish(source.tail())
    return source


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", PHOTO_SHAPES)
def test_lossless_photos_come_back_bit_exact(tmp_path, shape, suffix):
    path = save(tmp_path / f"in{suffix}", noise(*PHOTO_SHAPES[shape]))
    source = copy(path, tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(load(tmp_path / f"out{suffix}"), load(path))
    assert source.info.alpha == ("rgba" in shape)
    assert source.info.picture_format.bits == (16 if "16" in shape else 8)


def test_lossless_webp_comes_back_bit_exact(tmp_path):
    path = save(tmp_path / "in.webp", noise((49, 63, 4)), cv2.IMWRITE_WEBP_QUALITY, 101)
    copy(path, tmp_path / "out.webp", quality=100)
    np.testing.assert_array_equal(load(tmp_path / "out.webp"), load(path))


def test_a_grey_png_with_alpha_stays_one(tmp_path):
    pixels = noise((5, 4, 2))
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    _png(tmp_path / "in.png", struct.pack(">IIBBBBB", 4, 5, 8, 4, 0, 0, 0), zlib.compress(rows))
    copy(tmp_path / "in.png", tmp_path / "out.png")
    frame = next(PhotoSource(tmp_path / "out.png").frames())
    np.testing.assert_array_equal(frame.planes[0], pixels[..., 0])
    np.testing.assert_array_equal(frame.alpha[0], pixels[..., 1])


def _png(path, header, data, extra=()):
    chunks = [(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")]
    path.write_bytes(
        PNG_MAGIC
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
    )


SAMPLING = {
    "yuv420p": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "yuv422p": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "yuv444p": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}


@pytest.mark.parametrize("size", [(48, 64, 3), (49, 63, 3)])
@pytest.mark.parametrize("name", SAMPLING)
def test_jpeg_keeps_its_sampling_and_nearly_its_samples(tmp_path, name, size):
    flags = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[name], cv2.IMWRITE_JPEG_QUALITY, 95)
    path = save(tmp_path / "in.jpg", smooth(size), *flags)
    source = copy(path, tmp_path / "out.jpg")
    before = next(PhotoSource(path).frames())
    after = next(PhotoSource(tmp_path / "out.jpg").frames())
    assert source.info.pixel_format == after.pixel_format == name
    assert before.colour == after.colour
    for mine, theirs in zip(after.planes, before.planes, strict=True):
        assert np.abs(mine.astype(int) - theirs).mean() < 1


def test_grey_jpeg_stays_grey(tmp_path):
    path = save(tmp_path / "in.jpg", smooth((48, 64)))
    copy(path, tmp_path / "out.jpg")
    assert load(tmp_path / "out.jpg").ndim == 2


def test_colours_of_a_jpeg_stay_right_in_other_kinds(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 2] = 200
    path = save(tmp_path / "in.jpg", red, cv2.IMWRITE_JPEG_QUALITY, 100)
    for name in ("out.png", "out.webp", "out.tif"):
        copy(path, tmp_path / name)
        mean = load(tmp_path / name)[..., :3].mean((0, 1))
        np.testing.assert_allclose(mean, load(path).mean((0, 1)), atol=2.5)


class TestBlocks:
    @pytest.fixture
    def jpeg(self, tmp_path):
        data = save(tmp_path / "plain.jpg", smooth()).read_bytes()
        parts = [PROFILE[place : place + 60_000] for place in range(0, len(PROFILE), 60_000)]
        segments = [(0xE1, b"Exif\0\0" + EXIF), (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")]
        segments += [
            (0xE2, b"ICC_PROFILE\0" + bytes((number + 1, len(parts))) + part)
            for number, part in enumerate(parts)
        ]
        segments += [(0xE2, b"MPF\0points elsewhere"), (0xFE, b"a comment")]
        head = b"".join(
            bytes((0xFF, mark)) + struct.pack(">H", len(body) + 2) + body for mark, body in segments
        )
        path = tmp_path / "in.jpg"
        path.write_bytes(data[:2] + head + data[2:])
        return path

    def test_jpeg_segments_are_carried_over(self, jpeg, tmp_path):
        copy(jpeg, tmp_path / "out.jpg")
        before, after = (read_blocks(one.read_bytes()) for one in (jpeg, tmp_path / "out.jpg"))
        assert before.blocks == after.blocks
        assert (after.exif, after.icc_profile) == (EXIF, PROFILE)
        assert not any(body.startswith(b"MPF\0") for _, body in after.blocks)
        assert load(tmp_path / "out.jpg").shape == (48, 64, 3)

    def test_orientation_is_kept_and_not_applied(self, jpeg):
        source = PhotoSource(jpeg)
        assert (source.info.width, source.info.height) == (64, 48)
        assert source.info.exif == EXIF

    @pytest.mark.parametrize("name", ["out.png", "out.webp"])
    def test_exif_and_profile_go_to_other_kinds_too(self, jpeg, tmp_path, name):
        copy(jpeg, tmp_path / name)
        found = PhotoSource(tmp_path / name).info
        assert (found.exif, found.icc_profile) == (EXIF, PROFILE)
        again = tmp_path / "again.jpg"
        copy(tmp_path / name, again)
        found = PhotoSource(again).info
        assert (found.exif, found.icc_profile) == (EXIF, PROFILE)

    def test_png_chunks_are_carried_over_once(self, tmp_path):
        rows = b"".join(b"\0" + row.tobytes() for row in noise((5, 4, 3)))
        extra = [(b"gAMA", struct.pack(">I", 45455)), (b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\x01")]
        extra += [(b"eXIf", EXIF), (b"tEXt", b"Author\0Ada")]
        header = struct.pack(">IIBBBBB", 4, 5, 8, 2, 0, 0, 0)
        _png(tmp_path / "in.png", header, zlib.compress(rows), extra)
        copy(tmp_path / "in.png", tmp_path / "out.png")
        kinds = [kind for kind, _ in png_chunks((tmp_path / "out.png").read_bytes())]
        assert kinds == ["IHDR", "gAMA", "pHYs", "eXIf", "tEXt", "IDAT", "IEND"]
        np.testing.assert_array_equal(load(tmp_path / "out.png"), load(tmp_path / "in.png"))

    def test_a_palette_becomes_full_colour_without_alpha(self, tmp_path):
        palette = [(b"PLTE", bytes((255, 0, 0, 0, 0, 255)))]
        rows = zlib.compress(b"\0\0\1\0\1" * 4)
        _png(tmp_path / "in.png", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0), rows, palette)
        source = copy(tmp_path / "in.png", tmp_path / "out.png")
        assert not source.info.alpha
        np.testing.assert_array_equal(load(tmp_path / "out.png"), load(tmp_path / "in.png"))


class TestRefused:
    @pytest.mark.parametrize("name", ["in.jpg", "in.png", "in.webp"])
    def test_text_is_no_photo(self, tmp_path, name):
        (tmp_path / name).write_text("not a photo " * 40)
        with pytest.raises(SourceError, match=r"in\.\w+: (is not a|no video stream|holds no)"):
            PhotoSource(tmp_path / name)

    def test_a_missing_photo(self, tmp_path):
        with pytest.raises(SourceError, match=r"no\.png: No such file"):
            PhotoSource(tmp_path / "no.png")

    def test_an_empty_photo(self, tmp_path):
        (tmp_path / "in.png").touch()
        with pytest.raises(SourceError, match="is empty"):
            PhotoSource(tmp_path / "in.png")

    def test_an_animation(self, tmp_path):
        rows = zlib.compress(b"\0abc" * 2)
        animated = [(b"acTL", struct.pack(">II", 2, 0))]
        _png(tmp_path / "in.png", struct.pack(">IIBBBBB", 1, 2, 8, 2, 0, 0, 0), rows, animated)
        with pytest.raises(SourceError, match="is an animation"):
            PhotoSource(tmp_path / "in.png")

    @pytest.mark.parametrize("name", ["out.jpg", "out.webp"])
    def test_sixteen_bits_do_not_fit(self, tmp_path, name):
        path = save(tmp_path / "in.png", noise((8, 8, 3), np.uint16))
        with pytest.raises(SinkError, match=r"holds 8 bits and the photo has 16; .*\.png or \.tif"):
            PhotoSink(tmp_path / name, PhotoSource(path).info)

    def test_transparency_does_not_fit_into_jpeg(self, tmp_path):
        path = save(tmp_path / "in.png", noise((8, 8, 4)))
        with pytest.raises(SinkError, match=r"JPEG has no transparency; write to \.png"):
            PhotoSink(tmp_path / "out.jpg", PhotoSource(path).info)

    def test_an_impossible_quality(self, tmp_path):
        path = save(tmp_path / "in.png", noise((8, 8, 3)))
        with pytest.raises(ConfigError, match="--quality: must be 1 to 100, got 101"):
            PhotoSink(tmp_path / "out.jpg", PhotoSource(path).info, quality=101)

    def test_a_second_frame(self, tmp_path):
        path = save(tmp_path / "in.png", noise((8, 8, 3)))
        source = PhotoSource(path)
        sink = PhotoSink(tmp_path / "out.png", source.info)
        frame = next(source.frames())
        sink.write(frame)
        with pytest.raises(SinkError, match="a photo has one frame"):
            sink.write(frame)

    def test_no_frame(self, tmp_path):
        path = save(tmp_path / "in.png", noise((8, 8, 3)))
        with pytest.raises(SinkError, match="no frame came"):
            PhotoSink(tmp_path / "out.png", PhotoSource(path).info).finish(())


def test_a_photo_appears_under_its_name_only_when_finished(tmp_path):
    source = PhotoSource(save(tmp_path / "in.png", noise((8, 8, 3))))
    sink = PhotoSink(tmp_path / "out.png", source.info)
    sink.write(next(source.frames()))
    assert not (tmp_path / "out.png").exists()
    sink.abort()
    assert not (tmp_path / "out.png").exists()


def test_an_existing_photo_is_not_replaced_unasked(tmp_path):
    path = save(tmp_path / "in.png", noise((8, 8, 3)))
    with pytest.raises(SinkError, match="already exists; add --overwrite"):
        PhotoSink(path, PhotoSource(path).info)


def test_photos_are_told_by_their_extension(tmp_path):
    path = save(tmp_path / "in.PNG", noise((8, 8, 3)))
    source = open_source(path)
    assert isinstance(source, PhotoSource)
    assert isinstance(open_sink(tmp_path / "out.png", source.info), PhotoSink)


class TestNames:
    def test_a_folder_means_the_media_right_inside(self, tmp_path):
        names = ["b.mp4", "a.JPG", "notes.txt", ".hidden.mp4", "a.clean.mp4", "c.mp4.part"]
        for name in names:
            (tmp_path / name).touch()
        (tmp_path / "sub.mp4").mkdir()
        assert [one.name for one in expand_inputs([tmp_path])] == ["a.JPG", "b.mp4"]

    def test_files_come_as_named_and_once(self, tmp_path):
        for name in ("b.mp4", "a.mp4", "odd.xyz"):
            (tmp_path / name).touch()
        given = [tmp_path / "odd.xyz", tmp_path / "b.mp4", tmp_path]
        assert [one.name for one in expand_inputs(given)] == ["odd.xyz", "b.mp4", "a.mp4"]

    def test_a_missing_path_is_refused(self, tmp_path):
        with pytest.raises(SourceError, match="No such file or directory"):
            expand_inputs([tmp_path / "no.mp4"])

    def test_a_folder_without_media_is_refused(self, tmp_path):
        with pytest.raises(SourceError, match="holds no video or photo to clean"):
            expand_inputs([tmp_path])

    @pytest.mark.parametrize(
        ("name", "codec", "expected"),
        [
            ("talk.mp4", "h264", "talk.clean.mp4"),
            ("talk.AVI", "h264", "talk.clean.mp4"),
            ("talk.mkv", "h264", "talk.clean.mkv"),
            ("talk.mov", "hevc", "talk.clean.mov"),
            ("talk.mp4", "prores", "talk.clean.mov"),
            ("talk.mkv", "prores", "talk.clean.mkv"),
            ("talk.mp4", "ffv1", "talk.clean.mkv"),
            ("screen.jpg", "h264", "screen.clean.jpg"),
            ("screen.PNG", "h264", "screen.clean.PNG"),
        ],
    )
    def test_copies_are_named_beside_their_input(self, tmp_path, name, codec, expected):
        assert output_path(tmp_path / name, codec=codec) == tmp_path / expected

    def test_an_existing_folder_takes_the_copy(self, tmp_path):
        assert output_path("talk.mp4", tmp_path) == tmp_path / "talk.clean.mp4"

    def test_an_existing_copy_is_refused(self, tmp_path):
        (tmp_path / "talk.clean.mp4").touch()
        with pytest.raises(SinkError, match="already exists; add --overwrite"):
            output_path(tmp_path / "talk.mp4")
        assert output_path(tmp_path / "talk.mp4", overwrite=True).exists()

    def test_the_input_itself_is_never_the_output(self, tmp_path):
        path = make(tmp_path / "talk.mp4")
        with pytest.raises(SinkError, match="is the input itself"):
            output_path(path, path, overwrite=True)


def test_reading_blocks_of_cut_off_files_does_not_fail():
    for data in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0", PNG_MAGIC + b"\0\0\0\x05IH", b"RIFF"):
        assert read_blocks(data).exif is None
    assert read_blocks(io.BytesIO(b"hello").read()).kind is None
