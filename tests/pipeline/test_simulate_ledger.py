import json

import pytest

from pipeline.cli.simulate_ledger import Ledger
from pipeline.errors import SinkError


def record(name, **settings):
    return {"name": name, "settings": settings}


def lines(folder):
    return [json.loads(line) for line in (folder / "conditions.jsonl").read_text().splitlines()]


def test_records_are_found_again_with_their_settings(tmp_path):
    Ledger(tmp_path).add(record("b", size="96x96"))
    Ledger(tmp_path).add(record("a", size="8x8"))
    found = Ledger(tmp_path)
    assert found.settings("b") == {"size": "96x96"}
    assert found.settings("c") is None


def test_later_record_of_a_name_counts_and_tidying_keeps_it_alone(tmp_path):
    ledger = Ledger(tmp_path)
    for settings in ({"seed": 1}, {"seed": 2}):
        ledger.add(record("b", **settings))
    ledger.add(record("a"))
    assert len(lines(tmp_path)) == 3
    ledger.tidy()
    assert lines(tmp_path) == [record("a"), record("b", seed=2)]
    assert not list(tmp_path.glob("*.part"))


def test_line_at_which_a_run_was_killed_is_forgotten(tmp_path):
    Ledger(tmp_path).add(record("a"))
    path = tmp_path / "conditions.jsonl"
    path.write_text(path.read_text() + '{"name": "b", "sett')
    ledger = Ledger(tmp_path)
    assert ledger.settings("b") is None
    ledger.add(record("c"))
    assert [line["name"] for line in lines(tmp_path)] == ["a", "c"]


@pytest.mark.parametrize("text", ["good morning", "good\nmorning\n", '["a list"]'])
def test_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "conditions.jsonl").write_text(text)
    with pytest.raises(SinkError, match=r"conditions.jsonl: line 1 is no record"):
        Ledger(tmp_path)
