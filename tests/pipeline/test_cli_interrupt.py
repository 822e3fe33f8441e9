"""Ctrl-C, for real: a signal to a process that is held in the middle of its run."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from media_files import make

HERE = Path(__file__).parent
FRAMES = 90
IN_MIDDLE = b"." * 8  # Fewer pictures than there are frames, more than the first.


@contextmanager
def held_in_the_middle(source, target):
    """A run that has written its first frame and waits for its engine."""
    command = [sys.executable, str(HERE / "gated_cli.py"), "clean", str(source), "-o", str(target)]
    process = subprocess.Popen(
        [*command, "--engine", "gated", "--progress", "json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=HERE.parents[1],
        env={"PYTHONPATH": str(HERE.parents[1]), "PATH": ""},
    )
    with process:
        try:
            process.stdin.write(IN_MIDDLE)
            process.stdin.flush()
            for line in process.stdout:
                if json.loads(line)["event"] == "progress":
                    break
            yield process
        finally:
            process.kill()


def wait_for_notice(process):
    for line in process.stderr:
        if b"press Ctrl-C again to abort" in line:
            return
    raise AssertionError("the process ended without a notice")


def frames_in(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture
def source(tmp_path):
    return make(tmp_path / "in.mp4", pts=[number * 512 for number in range(FRAMES)], audio="aac")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_leaves_a_valid_shorter_file(source, tmp_path, number):
    target = tmp_path / "out.mp4"
    with held_in_the_middle(source, target) as process:
        process.send_signal(number)
        wait_for_notice(process)
        output, errors = process.communicate()
    assert process.returncode == 130, errors
    report = json.loads(output.splitlines()[-1])["report"]
    assert report["stopped_early"]
    assert 0 < report["frames_out"] == frames_in(target) < FRAMES
    assert not list(tmp_path.glob("*.part"))


def test_second_ctrl_c_aborts_and_leaves_no_final_name(source, tmp_path):
    target = tmp_path / "out.mp4"
    with held_in_the_middle(source, target) as process:
        process.send_signal(signal.SIGINT)
        wait_for_notice(process)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert not target.exists()
    assert (tmp_path / "out.mp4.part").exists()
