from pathlib import Path

import pytest

from pipeline.cli.inputs import make_folder, plan_jobs
from pipeline.errors import ConfigError, SinkError, SourceError


def touched(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def plan(inputs, output=None, codec="h264"):
    jobs = plan_jobs(inputs, output, codec=codec)
    return {job.source.name: job.target for job in jobs}


def test_result_is_named_beside_its_input():
    assert plan([Path("a/talk.avi")]) == {"talk.avi": Path("a/talk.clean.mp4")}


def test_named_output_is_taken_as_it_is():
    assert plan([Path("talk.mp4")], Path("b/x.mkv")) == {"talk.mp4": Path("b/x.mkv")}


def test_existing_folder_takes_one_input(tmp_path):
    assert plan([Path("talk.mp4")], tmp_path) == {"talk.mp4": tmp_path / "talk.clean.mp4"}


def test_folder_gives_its_media_without_our_own_results(tmp_path):
    touched(tmp_path, "b.mp4", "a.jpg", "a.clean.jpg", "b.compare.mp4", "notes.txt")
    assert list(plan([tmp_path])) == ["a.jpg", "b.mp4"]


def test_folder_without_media_is_refused(tmp_path):
    with pytest.raises(SourceError, match="holds no video or photo"):
        plan([touched(tmp_path, "notes.txt")])


def test_file_given_twice_is_cleaned_once():
    assert len(plan_jobs([Path("a.mp4"), Path("a.mp4")], None, codec="h264")) == 1


def test_comparison_lies_beside_the_result():
    (job,) = plan_jobs([Path("a/talk.mp4")], None, codec="h264")
    assert job.compare_target == Path("a/talk.compare.mp4")
    (job,) = plan_jobs([Path("a/talk.mp4")], Path("b/x.mkv"), codec="h264")
    assert job.compare_target == Path("b/x.compare.mkv")


@pytest.mark.parametrize("inputs", [["a.mp4", "a.avi"], ["x/a.mp4", "x/../x/a.mp4"]])
def test_two_inputs_never_become_one_file(inputs):
    with pytest.raises(ConfigError, match="would both become"):
        plan([Path(name) for name in inputs])


def test_photos_of_two_kinds_keep_apart():
    assert len(plan([Path("a.jpg"), Path("a.png")])) == 2


def test_output_folder_is_made_with_its_parents(tmp_path):
    output = tmp_path / "x" / "y"
    make_folder(plan_jobs([Path("a.mp4"), Path("b.mp4")], output, codec="h264"), output)
    assert output.is_dir()


def test_folder_of_a_named_file_is_not_made(tmp_path):
    output = tmp_path / "x" / "y.mp4"
    make_folder(plan_jobs([Path("a.mp4")], output, codec="h264"), output)
    assert not output.parent.exists()


def test_folder_that_cannot_be_made_is_named(tmp_path):
    output = touched(tmp_path, "file") / "file" / "folder"
    with pytest.raises(SinkError, match="cannot be made a folder: Not a directory"):
        make_folder(plan_jobs([Path("a.mp4"), Path("b.mp4")], output, codec="h264"), output)
