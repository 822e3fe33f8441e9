"""Opening encoders changes nothing about how the caller's thread is scheduled."""

import os
import sys
from fractions import Fraction

import pytest

from pipeline.cli.machine import try_encoder
from pipeline.media import SourceInfo
from pipeline.sinks.codecs import CODECS
from pipeline.sinks.file import FileSink
from pipeline.sinks.scheduling import scheduled_as_before

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has the calls")


@pytest.fixture(autouse=True)
def scheduling():
    """Policy and priority of this thread, given back whatever happens."""
    before = found()
    yield before
    os.sched_setscheduler(0, before[0], os.sched_param(before[1]))


def found():
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def test_changed_scheduling_is_given_back(scheduling):
    with scheduled_as_before():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        assert found() == (os.SCHED_BATCH, 0)
    assert found() == scheduling


def test_scheduling_is_given_back_when_opening_fails(scheduling):
    with pytest.raises(FileNotFoundError, match="none"), scheduled_as_before():
        _fail_after_a_change()
    assert found() == scheduling


@pytest.mark.parametrize("codec", CODECS)
def test_opening_a_file_of_any_codec_leaves_the_thread_as_it_was(codec, tmp_path, scheduling):
    info = SourceInfo(
        url="in.mp4",
        width=64,
        height=64,
        pixel_format="yuv420p",
        time_base=Fraction(1, 25),
        frame_rate=Fraction(25),
    )
    sink = FileSink(tmp_path / "out.mkv", info, codec=codec)
    assert found() == scheduling
    sink.abort()


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_trying_an_encoder_leaves_the_thread_as_it_was(codec, scheduling):
    assert try_encoder(codec.encoder).fault is None
    assert found() == scheduling


def _fail_after_a_change():
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    raise FileNotFoundError("none")
