"""Engines on disk: whole or absent, and never another one's."""

import json

import pytest

from engines.cache import EngineCache, cache_key, default_root
from engines.errors import EngineError

ORIGIN = {"onnx": "ab12", "library": "tensorrt 11.0.0", "profile": [64, 64, 1088, 1920]}


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def test_what_was_stored_is_loaded(cache):
    path = cache.store(ORIGIN, b"an engine", what="nano, f16")
    assert path.name == f"{cache_key(ORIGIN)}.engine"
    assert cache.load(dict(reversed(ORIGIN.items()))) == b"an engine"


def test_an_empty_folder_holds_nothing(cache):
    assert cache.load(ORIGIN) is None
    assert cache.entries() == []
    assert cache.clear() == 0


@pytest.mark.parametrize(
    "changed",
    [{"onnx": "cd34"}, {"library": "tensorrt 11.1.0"}, {"profile": [64, 64, 2176, 3840]}],
    ids=["weights", "version", "profile"],
)
def test_what_is_built_of_something_else_is_another_entry(cache, changed):
    cache.store(ORIGIN, b"an engine", what="nano")
    assert cache.load(ORIGIN | changed) is None
    assert cache.load(ORIGIN) == b"an engine"


def test_a_damaged_entry_is_taken_away_and_said_to_be(cache, caplog):
    path = cache.store(ORIGIN, b"an engine", what="nano")
    path.write_bytes(b"an engime")
    assert cache.load(ORIGIN) is None
    assert list(cache.root.iterdir()) == []
    assert f"{path} is damaged; it is built again" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "\xff"])
def test_an_entry_with_an_unreadable_origin_is_taken_away(cache, caplog, text):
    path = cache.store(ORIGIN, b"an engine", what="nano")
    path.with_suffix(".json").write_bytes(text.encode("latin-1"))
    assert cache.entries() == []
    assert cache.load(ORIGIN) is None
    assert list(cache.root.iterdir()) == []
    assert "it is built again" in caplog.text


def test_an_entry_without_its_engine_is_none(cache):
    cache.store(ORIGIN, b"an engine", what="nano").unlink()
    assert cache.load(ORIGIN) is None
    assert cache.entries() == []


def test_an_entry_is_replaced(cache):
    cache.store(ORIGIN, b"an engine", what="nano")
    cache.store(ORIGIN, b"a better one", what="nano")
    assert cache.load(ORIGIN) == b"a better one"
    assert len(cache.entries()) == 1


def test_entries_say_what_they_are(cache):
    cache.store(ORIGIN, b"an engine", what="nano, f16")
    (entry,) = cache.entries()
    assert (entry.key, entry.what, entry.size) == (cache_key(ORIGIN), "nano, f16", 9)
    assert entry.origin == ORIGIN


def test_clearing_leaves_nothing_of_ours_and_nothing_else_goes(cache):
    cache.store(ORIGIN, b"an engine", what="nano")
    cache.store(ORIGIN | {"onnx": "cd34"}, b"another", what="base")
    (cache.root / "half.part").write_bytes(b"")
    (cache.root / "notes.txt").write_text("mine")
    assert cache.clear() == 2
    assert [path.name for path in cache.root.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_written_to_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file")
    with pytest.raises(EngineError, match=r"file: built engines cannot be kept.*DEMOIRE_CACHE"):
        cache.store(ORIGIN, b"an engine", what="nano")


def test_an_entry_is_plain_json_beside_the_engine(cache):
    path = cache.store(ORIGIN, b"an engine", what="nano")
    assert json.loads(path.with_suffix(".json").read_text())["origin"] == ORIGIN


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DEMOIRE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_root() == tmp_path / ".cache/demoire/engines"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_root() == tmp_path / "x/demoire/engines"
    monkeypatch.setenv("DEMOIRE_CACHE", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
