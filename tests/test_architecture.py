"""Imports point one way: cli -> runner -> {sources, stages, sinks} -> {frame, threads, ...}."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for top in ("pipeline", "engines") for path in (ROOT / top).rglob("*.py"))
# Everything else is at the bottom, layer 0.
LAYERS = {"cli": 3, "runner": 2, "config": 2, "sources": 1, "stages": 1, "sinks": 1, "live": 2}
LAYERS |= {"bench": 3}
COMPUTING = {
    ("bench", "computing"),
    ("stages", "clean"),
    ("live", "cleaning"),
    ("live", "moire_meter"),
    ("live", "sources", "filmed"),
}


def imports(path):
    """Absolute names of the modules a file imports; what only annotations need does not count."""
    pending = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their direction"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(parts):
    return LAYERS.get(parts[1], 0) if parts[0] == "pipeline" and len(parts) > 1 else 0


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    here = path.relative_to(ROOT).with_suffix("").parts
    may_compute = here[0] == "engines" or here[1] == "cli" or here[1:] in COMPUTING
    for name in imports(path):
        there = name.split(".")
        assert there[0] != "queue", "threads.py holds all concurrency"
        if there[0] == "pipeline":
            assert here[0] != "engines", f"engines never imports {name}"
            assert layer(there) <= layer(here), f"{name} is above this module"
        if there[0] == "engines" and there[1] not in {"engine", "errors"}:  # the contract
            assert may_compute, f"only the CLI and {COMPUTING} import {name}"
