"""The machine card, and that measuring processes stay small."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.machine import commit, cpu, machine_card, usable_cores
from pipeline.bench.memory import MemoryWatch

ROOT = Path(__file__).parents[2]
CPUINFO = "processor: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx_vnni\n\n"


def test_cpu_card_has_what_the_system_lists(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO)
    found = cpu(cpuinfo)
    assert (found.model, found.cores) == ("Some CPU", usable_cores())
    assert found.flags == ("avx2", "avx_vnni", "avx512f")
    assert [name for name, has in found.features.items() if has] == ["avx2", "avx512", "vnni"]


def test_cpu_card_of_a_system_that_lists_no_flags_does_not_guess(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name : Some ARM\n")
    assert (cpu(cpuinfo).features, cpu(cpuinfo).flags) == (None, ())
    assert cpu(tmp_path / "none").features is None


def test_card_names_no_machine_and_no_user():
    card = machine_card()
    assert card["cores"] == usable_cores()
    assert card["libraries"]["numpy"] == np.__version__
    text = str(card)
    assert str(Path.home()) not in text
    assert str(ROOT) not in text


def test_commit_of_a_clone_of_something_else_is_not_told(tmp_path):
    assert commit(tmp_path) is None
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "site-packages").mkdir()
    assert commit(tmp_path / "site-packages") is None


@pytest.mark.parametrize("module", ["pipeline.bench.machine", "harness"])
def test_what_benchmarks_import_is_light(module):
    heavy = ("av", "cv2", "numpy", "openvino", "pydantic", "torch")
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_memory_watch_tells_growth_from_what_was_there_before():
    held = np.ones(30_000_000, np.uint8)
    watch = MemoryWatch()
    before_mb = watch.growth_mb()
    more = np.ones(60_000_000, np.uint8)
    del more
    assert before_mb < 10
    assert 50 < watch.growth_mb() < 80
    assert watch.peak_mb() > watch.growth_mb() + held.nbytes / 1e6
