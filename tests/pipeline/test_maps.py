"""Sheets that show what was removed: their drawing, their files, and `demoire clean` with them."""

import json
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import make_frame, source_info
from media_files import make
from typer.testing import CliRunner

from engines.engine import PictureFormat
from pipeline.cli import app
from pipeline.errors import SinkError
from pipeline.media import pixel_format_name
from pipeline.sinks import maps_sheet
from pipeline.sinks.maps import MapsSink, refuse_existing, sheet_path
from pipeline.sinks.maps_sheet import Measures, magnification, sheet, top_of_scale, view
from pipeline.sources.photo_blocks import exif_orientation

FLAT = Measures(local=lambda picture: np.ones(picture.shape[:2], np.float32), whole=np.mean)
NAMES = ["talk.00000.000.maps.png", "talk.00000.100.maps.png", "talk.00000.200.maps.png"]


def clean(*words):
    words = [str(word) for word in words]
    return CliRunner().invoke(app, ["clean", *words, "--engine", "identity"])


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def read(path):
    """Return a picture file's pixels, BGR; fails for one that is cut off."""
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


@contextmanager
def files_end_at(size):
    """Files of this process end at `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def clip(tmp_path):
    return make(tmp_path / "talk.mp4", audio="aac")


@pytest.fixture
def maps(tmp_path):
    return tmp_path / "maps"


def photo_file(path, orientation=None):
    """Write a photo, 64x48, red at the stored left and blue at the right."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32, 2], picture[:, 32:, 0] = 255, 255
    _, data = cv2.imencode(path.suffix, picture)
    data = data.tobytes()
    if orientation is not None:
        block = b"Exif\0\0" + exif(orientation)
        size = (len(block) + 2).to_bytes(2, "big")
        data = data[:2] + b"\xff\xe1" + size + block + data[2:]
    path.write_bytes(data)
    return path


def exif(orientation):
    return b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)


def frame_at(pts, **fields):
    frame = make_frame(pts, **fields)
    return replace(frame, before=frame.planes)


def sink_in(folder, **options):
    options = {"name": "talk", "measures": FLAT, "every_s": 1.0} | options
    return MapsSink(folder, options.pop("info", source_info()), **options)


class TestSheet:
    def levels(self, value=100.0, *, width=640, height=360):
        return np.full((height, width, 3), value, np.float32)

    def panel(self, drawing, number, size=(640, 360)):
        """Return the pixels of one cell's panel; cells are found by their distance."""
        line, gap = round(40 * size[0] / 800), round(40 * size[0] / 800) // 2
        row, column = divmod(number, 3)
        y = gap + line + row * (size[1] + line + gap)
        x = gap + column * (size[0] + gap)
        return drawing[y : y + size[1], x : x + size[0]]

    def drawn(self, before, after, measures=FLAT):
        return sheet(view(before, measures), view(after, measures), title="at 1.000 s")

    def test_pictures_are_shown_as_they_are(self):
        before = self.levels() + np.array([30, 0, -30], np.float32)
        drawing = self.drawn(before, self.levels())
        assert (self.panel(drawing, 0) == (70, 100, 130)).all()  # BGR
        assert (self.panel(drawing, 1) == 100).all()

    def test_what_was_removed_is_amplified_on_grey(self):
        before = self.levels()
        before[:, 320:, 0] += 10.25
        removed = self.panel(self.drawn(before, self.levels()), 2)
        assert (removed[:, :320] == 128).all()
        assert (removed[:, 320:] == (128, 128, 128 + 41)).all()

    def test_both_maps_share_one_scale(self):
        def local(picture):
            return picture[..., 0].astype(np.float32)

        measures = Measures(local=local, whole=np.mean)
        drawing = self.drawn(self.levels(64), self.levels(16), measures)
        # Ripples of 8 and 4: the scale ends at 8, so one map is at its end and one in its middle.
        ends = cv2.applyColorMap(np.array([[255, 128]], np.uint8), cv2.COLORMAP_INFERNO)[0]
        assert (self.panel(drawing, 3) == ends[0]).all()
        assert (self.panel(drawing, 4) == ends[1]).all()

    @pytest.mark.parametrize(("ripple", "top"), [(0, 4), (4, 4), (4.1, 8), (20, 32), (99, 32)])
    def test_scale_is_chosen_by_the_picture_before_alone(self, ripple, top):
        measures = Measures(
            local=lambda picture: np.full(picture.shape[:2], ripple**2, np.float32), whole=np.mean
        )
        assert top_of_scale(view(self.levels(), measures)) == top

    def test_map_is_measured_at_full_size_and_shown_smaller(self):
        seen = []

        def local(picture):
            seen.append(picture.shape)
            return np.ones(picture.shape[:2], np.float32)

        shown = view(self.levels(width=2560, height=40), Measures(local=local, whole=np.mean))
        assert seen == [(40, 2560, 3)]
        assert shown.levels.shape == (20, maps_sheet.LONGEST_PANEL, 3)
        assert shown.share == 0.5

    @pytest.mark.parametrize(("width", "shown"), [(64, 5), (640, 1), (2560, 0.5)])
    def test_sheet_knows_how_large_the_picture_is_shown(self, width, shown):
        assert magnification(view(self.levels(width=width, height=40), FLAT)) == shown

    @pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (64, 48), (3000, 1), (1, 3000)])
    def test_every_shape_fits(self, size):
        levels = self.levels(width=size[0], height=size[1])
        drawing = self.drawn(levels, levels)
        assert drawing.dtype == np.uint8
        assert max(drawing.shape) < 5 * maps_sheet.LONGEST_PANEL


class TestFiles:
    def test_first_frame_and_one_after_each_interval_are_shown(self, tmp_path):
        sink = sink_in(tmp_path, every_s=0.1)
        for pts in range(8):  # at 30 frames a second
            sink.write(frame_at(pts))
        assert names(tmp_path) == NAMES

    def test_interval_counts_from_the_first_frame(self, tmp_path):
        sink = sink_in(tmp_path, start_s=90.0)
        for pts in (40, 41, 69, 70, 71):
            sink.write(frame_at(pts))
        assert names(tmp_path) == ["talk.00090.000.maps.png", "talk.00091.000.maps.png"]

    def test_gap_gives_one_sheet_and_not_those_that_were_missed(self, tmp_path):
        sink = sink_in(tmp_path)
        for pts in (0, 105, 106, 121):
            sink.write(frame_at(pts))
        times = [name.split(".")[1:3] for name in names(tmp_path)]
        assert times == [["00000", "000"], ["00003", "500"], ["00004", "033"]]

    def test_frames_of_one_millisecond_are_one_sheet(self, tmp_path):
        sink = sink_in(tmp_path, every_s=0.001)
        for pts in (0, 10, 11, 12):
            sink.write(frame_at(pts, time_base=Fraction(1, 10_000)))
        assert names(tmp_path) == ["talk.00000.000.maps.png", "talk.00000.001.maps.png"]

    def test_photo_has_no_time_in_its_name(self, tmp_path):
        sink_in(tmp_path, every_s=None).write(frame_at(0))
        assert names(tmp_path) == ["talk.maps.png"]

    def test_hours_are_seconds_in_the_name(self):
        assert sheet_path(Path("x"), "a", 100_000.25).name == "a.100000.250.maps.png"

    def test_sheets_of_an_aborted_run_are_whole(self, tmp_path):
        sink = sink_in(tmp_path, every_s=0.1)
        for pts in range(5):
            sink.write(frame_at(pts))
        sink.abort()
        assert names(tmp_path) == NAMES[:2]
        assert {read(tmp_path / name).shape for name in NAMES[:2]} == {
            read(tmp_path / NAMES[0]).shape
        }

    def test_existing_sheet_stays_unless_overwriting(self, tmp_path):
        (tmp_path / NAMES[0]).write_bytes(b"mine")
        with pytest.raises(SinkError, match=r"talk\.00000\.000\.maps\.png: already exists"):
            sink_in(tmp_path).write(frame_at(0))
        assert (tmp_path / NAMES[0]).read_bytes() == b"mine"
        sink_in(tmp_path, overwrite=True).write(frame_at(0))
        assert read(tmp_path / NAMES[0]).size

    def test_full_disk_is_one_sentence_and_leaves_nothing(self, tmp_path):
        sink = sink_in(tmp_path)
        with (
            files_end_at(100),
            pytest.raises(SinkError, match=r"write elsewhere with --debug-maps"),
        ):
            sink.write(frame_at(0))
        assert names(tmp_path) == []

    def test_frame_without_its_past_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="does not carry its planes from before"):
            sink_in(tmp_path).write(make_frame(0))

    @pytest.mark.parametrize(
        ("options", "refused"),
        [
            ({}, True),
            ({"start_s": 12.0}, True),
            ({"start_s": 12.5}, False),
            ({"end_s": 12.0}, False),
            ({"end_s": 12.001}, True),
        ],
    )
    def test_sheets_within_the_wanted_span_are_refused_beforehand(self, tmp_path, options, refused):
        for name in ("talk.00012.000.maps.png", "talk.maps.png", "other.00001.000.maps.png"):
            (tmp_path / name).write_bytes(b"mine")
        if refused:
            with pytest.raises(SinkError, match=r"talk\.00012\.000\.maps\.png: already exists"):
                refuse_existing(tmp_path, "talk", is_photo=False, **options)
        else:
            refuse_existing(tmp_path, "talk", is_photo=False, **options)


class TestUpright:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_of_a_photo_is_applied(self, tmp_path, orientation):
        # As stored, pixel by pixel, for viewers to see 1 2 / 3 4 / 5 6.
        stored = {
            1: [[1, 2], [3, 4], [5, 6]],
            2: [[2, 1], [4, 3], [6, 5]],
            3: [[6, 5], [4, 3], [2, 1]],
            4: [[5, 6], [3, 4], [1, 2]],
            5: [[1, 3, 5], [2, 4, 6]],
            6: [[2, 4, 6], [1, 3, 5]],
            7: [[6, 4, 2], [5, 3, 1]],
            8: [[5, 3, 1], [6, 4, 2]],
        }[orientation]
        seen = self.seen(tmp_path, stored, exif=exif(orientation))
        assert seen.tolist() == [[1, 2], [3, 4], [5, 6]]

    @pytest.mark.parametrize(
        ("rotation", "wanted"),
        [
            (0, [[1, 2, 3], [4, 5, 6]]),
            (90, [[3, 6], [2, 5], [1, 4]]),
            (180, [[6, 5, 4], [3, 2, 1]]),
            (-90, [[4, 1], [5, 2], [6, 3]]),
        ],
    )
    def test_rotation_of_a_video_is_applied_counter_clockwise(self, tmp_path, rotation, wanted):
        assert self.seen(tmp_path, [[1, 2, 3], [4, 5, 6]], rotation=rotation).tolist() == wanted

    def seen(self, folder, stored, **of_source):
        """Return what is measured of a picture with the stored samples."""
        plane = np.array(stored, np.uint8)
        form = PictureFormat(layout="gray", bits=8, width=plane.shape[1], height=plane.shape[0])
        frame = make_frame(0, picture_format=form, pixel_format=pixel_format_name(form))
        pictures = []

        def whole(picture):
            pictures.append(picture[..., 0])
            return 0.0

        measures = Measures(local=FLAT.local, whole=whole)
        sink = sink_in(folder, measures=measures, info=source_info(**of_source))
        sink.write(replace(frame, planes=(plane,), before=(plane,)))
        return pictures[0]

    @pytest.mark.parametrize("block", [b"", b"II*\0", exif(6)[:12], exif(9), exif(0), b"XX" * 20])
    def test_damaged_orientation_turns_nothing(self, block):
        assert exif_orientation(block) == 1

    def test_orientation_is_read_in_both_byte_orders(self):
        big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
        assert (exif_orientation(big), exif_orientation(exif(6))) == (8, 6)


class TestCommand:
    def test_video_gets_a_sheet_each_interval_beside_the_clean_clip(self, clip, maps, tmp_path):
        done = clean(clip, "--debug-maps", maps, "--maps-every", "0.1")
        assert done.exit_code == 0, done.output
        assert names(maps) == NAMES
        assert (tmp_path / "talk.clean.mp4").exists()

    def test_one_second_is_the_interval_that_nobody_has_to_give(self, clip, maps):
        assert clean(clip, "--debug-maps", maps).exit_code == 0
        assert names(maps) == NAMES[:1]

    def test_configuration_can_ask_for_sheets(self, clip, maps):
        done = clean(clip, "--set", f"maps.folder={maps}", "--set", "maps.every=0.2")
        assert done.exit_code == 0, done.output
        assert names(maps) == [NAMES[0], NAMES[2]]

    def test_names_tell_the_time_in_the_input(self, clip, maps):
        done = clean(clip, "--debug-maps", maps, "--start", "0.1", "--end", "0.2")
        assert done.exit_code == 0, done.output
        assert names(maps) == [NAMES[1]]

    def test_without_the_option_nothing_is_kept_written_or_loaded(self, clip, tmp_path):
        script = (
            "import sys\n"
            "from pipeline.cli import app\n"
            f"app(['clean', {str(clip)!r}, '--engine', 'identity'], standalone_mode=False)\n"
            "heavy = ('pipeline.sinks.maps', 'pipeline.sinks.rgb', 'engines.evaluate.metrics')\n"
            "print([name for name in heavy if name in sys.modules])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"
        assert names(tmp_path) == ["talk.clean.mp4", "talk.mp4"]

    def test_folder_gives_sheets_of_videos_and_photos(self, clip, maps, tmp_path):
        photo_file(tmp_path / "still.png")
        done = clean(tmp_path, "-o", tmp_path / "out", "--debug-maps", maps)
        assert done.exit_code == 0, done.output
        assert names(maps) == ["still.maps.png", NAMES[0]]

    def test_sheets_in_a_folder_are_not_cleaned_themselves(self, clip, tmp_path):
        assert clean(clip, "--debug-maps", tmp_path).exit_code == 0
        done = clean(tmp_path, "-o", tmp_path / "out")
        assert done.exit_code == 0, done.output
        assert names(tmp_path / "out") == ["talk.clean.mp4"]

    @pytest.mark.parametrize("only", [[], ["--compare-only"]])
    def test_comparison_and_sheets_go_together(self, clip, maps, tmp_path, only):
        report = tmp_path / "report.json"
        words = ["--compare", "side", *only, "--debug-maps", maps, "--report", report]
        done = clean(clip, *words)
        assert done.exit_code == 0, done.output
        assert names(maps) == NAMES[:1]
        assert (tmp_path / "talk.compare.mp4").exists() == (not only)
        told = json.loads(report.read_text())
        assert told["output"] == str(tmp_path / "talk.clean.mp4")
        assert told["max_pts_change_ms"] == pytest.approx(0, abs=0.1)

    @pytest.mark.parametrize(
        ("pixel_format", "codec"),
        [
            ("yuv420p10le", "libx265"),
            ("yuv444p", "libx264"),
            ("gray", "ffv1"),
            ("gray10le", "ffv1"),
            ("gbrp10le", "ffv1"),
            ("yuva420p", "ffv1"),
        ],
    )
    def test_every_kind_of_picture_is_shown(self, tmp_path, maps, pixel_format, codec):
        source = tmp_path / "talk.mkv"
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        make(source, pixel_format=pixel_format, codec=codec, options=options)
        done = clean(source, "--codec", "ffv1", "--debug-maps", maps)
        assert done.exit_code == 0, done.output
        assert names(maps) == NAMES[:1]

    def test_turned_video_is_shown_upright(self, tmp_path, maps):
        make(tmp_path / "talk.mp4", size=(1280, 320), rotation=90, pts=[0])
        assert clean(tmp_path / "talk.mp4", "--debug-maps", maps).exit_code == 0
        rows, columns = read(maps / NAMES[0]).shape[:2]
        assert rows > 2 * 1280 > 3 * 320 < columns < rows

    def test_turned_photo_is_shown_upright(self, tmp_path, maps):
        photo_file(tmp_path / "still.jpg", orientation=6)  # the stored left is the top
        done = clean(tmp_path / "still.jpg", "--debug-maps", maps)
        assert done.exit_code == 0, done.output
        drawing = read(maps / "still.maps.png").astype(int)
        # The picture is enlarged to at least 320 pixels and begins in the upper left corner.
        blue, red = (np.argwhere(drawing[:400, :300, channel] > 200) for channel in (0, 2))
        assert red[:, 0].mean() < blue[:, 0].mean()

    def test_dry_run_tells_of_sheets_and_makes_no_folder(self, clip, maps):
        done = clean(clip, "--debug-maps", maps, "--dry-run")
        assert done.exit_code == 0, done.output
        assert f"{maps}/talk*.maps.png, a sheet every 1 s" in done.stdout
        assert not maps.exists()

    @pytest.mark.parametrize("dry", [[], ["--dry-run"]])
    def test_existing_sheet_is_refused_before_the_run(self, clip, maps, tmp_path, dry):
        maps.mkdir()
        (maps / NAMES[2]).write_bytes(b"mine")
        failed = clean(clip, "--debug-maps", maps, *dry)
        assert failed.exit_code == 1
        assert failed.stderr == (
            f"demoire: {maps / NAMES[2]}: already exists; add --overwrite or give another"
            " --debug-maps\n"
        )
        assert names(tmp_path) == ["maps", "talk.mp4"]
        assert (maps / NAMES[2]).read_bytes() == b"mine"

    def test_existing_sheet_is_replaced_with_overwrite(self, clip, maps):
        maps.mkdir()
        (maps / NAMES[0]).write_bytes(b"mine")
        assert clean(clip, "--debug-maps", maps, "--overwrite").exit_code == 0
        assert read(maps / NAMES[0]).size

    def test_folder_that_cannot_be_made_is_one_sentence(self, clip, tmp_path):
        failed = clean(clip, "--debug-maps", clip / "maps")
        assert failed.exit_code == 1
        assert failed.stderr == (
            f"demoire: --debug-maps {clip / 'maps'}: cannot be made a folder: Not a directory\n"
        )
        assert names(tmp_path) == ["talk.mp4"]

    def test_folder_that_cannot_be_written_to_is_one_sentence(self, clip, tmp_path):
        failed = clean(clip, "--debug-maps", "/proc")
        assert failed.exit_code == 1
        assert failed.stderr.splitlines()[-1].startswith("demoire: ")
        assert "--debug-maps" in failed.stderr
        assert not (tmp_path / "talk.clean.mp4").exists()

    def test_two_inputs_of_one_name_are_refused(self, tmp_path, maps):
        failed = clean(tmp_path / "talk.mp4", tmp_path / "talk.mkv", "--debug-maps", maps)
        assert failed.exit_code == 2
        assert "each with its own --debug-maps" in failed.stderr

    def test_interval_without_a_folder_is_refused(self, clip):
        failed = clean(clip, "--maps-every", "2")
        assert failed.exit_code == 2
        assert "--maps-every: needs --debug-maps DIR" in failed.stderr

    @pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
    def test_wrong_interval_is_refused(self, clip, maps, seconds):
        failed = clean(clip, "--debug-maps", maps, "--maps-every", seconds)
        assert failed.exit_code == 2
        assert "maps.every: must be a number from 0.001 up" in failed.stderr
