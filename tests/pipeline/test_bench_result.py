"""The JSON file: it reads back, replaces nothing before it is complete, and rubbish is named."""

import json

import pytest
from bench_results import part, result

from pipeline.bench.result import check_writable, read_result, write_result
from pipeline.errors import ConfigError, SinkError


@pytest.fixture
def found():
    return result({"decode": part(10.0, 11.0), "transfer": part(skipped="none")})


def test_result_reads_back_as_it_was(found, tmp_path):
    path = tmp_path / "a.json"
    write_result(found, path)
    assert read_result(path) == found
    assert list(tmp_path.iterdir()) == [path]


def test_file_begins_with_what_it_is(found):
    assert list(json.loads(found.to_json()))[:2] == ["kind", "schema"]


def test_fields_of_a_later_release_are_passed_over(found, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(json.loads(found.to_json()) | {"weather": "fair"}))
    assert read_result(path) == found


def without(found, key):
    content = json.loads(found.to_json())
    del content[key]
    return json.dumps(content)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda found: "{", "is no result of `demoire bench --json`"),
        (lambda found: "[]", 'it has no "kind"'),
        (lambda found: '{"kind": "something else"}', 'it has no "kind"'),
        (lambda found: without(found, "schema"), "has schema None, and this release reads 1"),
        (lambda found: found.to_json().replace('"schema": 1', '"schema": 9'), "has schema 9"),
        (lambda found: without(found, "stages"), "stages: Field required"),
    ],
)
def test_what_is_no_result_is_refused_by_name(found, tmp_path, write, said):
    path = tmp_path / "odd.json"
    path.write_text(write(found))
    with pytest.raises(ConfigError, match=said) as raised:
        read_result(path)
    assert "odd.json" in str(raised.value)


def test_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "odd.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no result"):
        read_result(path)


def test_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.json: cannot be read: No such file"):
        read_result(tmp_path / "gone.json")


def test_failed_write_leaves_the_old_file_and_no_other(found, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(found), "to_json", fail)
    with pytest.raises(SinkError, match=r"a\.json: cannot be written: No space left"):
        write_result(found, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to_is_refused_ahead(tmp_path):
    with pytest.raises(SinkError, match="its folder does not exist"):
        check_writable(tmp_path / "none" / "a.json")
    with pytest.raises(SinkError, match="is a folder"):
        check_writable(tmp_path)
    check_writable(tmp_path / "a.json")
