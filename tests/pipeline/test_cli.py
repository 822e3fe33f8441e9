"""What all commands share, and the small ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engines.engine import BACKENDS
from engines.errors import EngineError
from pipeline import __version__
from pipeline.bench.machine import CPU_FEATURES
from pipeline.cli import app, bench, clean, demo, doctor, export, machine, presets, train
from pipeline.cli.doctor import suggestion, traps
from pipeline.cli.machine import Attempt, Cpu
from pipeline.sinks.codecs import CODECS

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "bench": bench,
    "clean": clean,
    "demo": demo,
    "doctor": doctor,
    "export": export,
    "presets": presets,
    "train": train,
}
# Not pydantic, which typer itself imports.
HEAVY = ("torch", "openvino", "cv2", "numpy", "av", "yaml")


def run(*words):
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, words)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(words):
    code = (
        f"import sys; sys.argv = ['demoire', *{words!r}]\n"
        "import atexit\n"
        f"atexit.register(lambda: print('heavy:', [m for m in {HEAVY!r} if m in sys.modules]))\n"
        "from pipeline.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(("name", "module"), COMMANDS.items())
def test_help_shows_every_example_on_a_line_of_its_own(name, module):
    shown = [line.strip() for line in run(name, "--help").stdout.splitlines()]
    assert module.EXAMPLES
    for example in module.EXAMPLES:
        assert example in shown


@pytest.mark.parametrize(("name", "module"), COMMANDS.items())
def test_every_example_uses_options_that_exist(name, module):
    for example in module.EXAMPLES:
        command = example.split("  ")[0].partition(">")[0].split()
        known = run(command[1], "--help").stdout
        for word in command[2:]:
            if word.startswith("-"):
                assert word in known, f"{name}: {example}"


def test_no_command_shows_the_help():
    shown = run()
    assert shown.exit_code == 2
    assert all(name in shown.output for name in COMMANDS)


def test_version_is_the_package_s():
    assert run("--version").stdout == f"demoire {__version__}\n"


def test_unknown_option_is_a_usage_error():
    assert run("clean", "x.mp4", "--fast").exit_code == 2


def test_codec_help_names_every_codec():
    shown = run("clean", "--help").stdout
    assert all(name in shown for name in CODECS)


def test_error_is_one_sentence_on_stderr():
    failed = run("clean", "none.mp4", "--engine", "identity")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("demoire: none.mp4: ")
    assert failed.stderr.count("\n") == 1


def test_debug_lets_the_traceback_through():
    failed = run("clean", "--debug", "x.mp4", "--engine", "nonsense")
    assert failed.exception is not None
    assert not isinstance(failed.exception, SystemExit)


def test_presets_are_listed_with_what_they_change():
    shown = run("presets").stdout
    assert "archive" in shown
    assert "encoder.codec=ffv1" in shown
    assert "source.strict=true" in shown


def test_doctor_tries_every_back_end_and_ends_with_a_command_or_the_lack_of_one():
    shown = run("doctor")
    assert all(name in shown.stdout for name in BACKENDS)
    assert all(name in shown.stdout for name in machine.SOFTWARE_ENCODERS)
    last = shown.stdout.splitlines()[-1]
    ending = {0: "Suggested: demoire clean FILE", 1: "Nothing can be cleaned here"}
    assert last.startswith(ending[shown.exit_code])


CPU = Cpu(model="x", cores=8, features=dict.fromkeys(CPU_FEATURES, True))
SMALL_CPU = Cpu(model="x", cores=1, features=dict.fromkeys(CPU_FEATURES, False))
X264 = Attempt(name="libx264", fault=None)
NO_X264 = Attempt(name="libx264", fault="missing")
X265 = Attempt(name="libx265", fault=None)
OPEN = [("openvino", object())]


@pytest.mark.parametrize(
    ("cpu", "backends", "encoders", "command"),
    [
        (CPU, OPEN, [X264, X265], "demoire clean FILE"),
        (SMALL_CPU, OPEN, [X264], "demoire clean FILE --preset fast"),
        (CPU, OPEN, [NO_X264, X265], "demoire clean FILE --codec hevc"),
        (CPU, [("openvino", "no model"), ("identity", object())], [X264], None),
    ],
)
def test_doctor_suggests_what_fits(cpu, backends, encoders, command):
    assert suggestion(cpu, backends, encoders) == command


@pytest.mark.parametrize(
    ("cpu", "backends", "codecs", "words"),
    [
        (SMALL_CPU, OPEN, [X264], "no bf16 arithmetic"),
        (SMALL_CPU, OPEN, [X264], "With one core"),
        (CPU, [("openvino", "broken"), ("torch", object())], [X264], "torch stands in"),
        (CPU, OPEN, [Attempt(name="cuda", fault=None)], "GPU has no video encoder"),
    ],
)
def test_doctor_names_the_traps_of_this_machine(cpu, backends, codecs, words):
    assert any(words in note for note in traps(cpu, backends, codecs))


def test_doctor_names_no_trap_of_another_machine():
    assert not [note for note in traps(CPU, OPEN, [X264]) if "PyAV" not in note]


def test_encoder_that_ffmpeg_lacks_is_said_to_be_missing():
    assert machine.try_encoder("libnonsense").fault == "not in this build of FFmpeg"


def test_software_encoder_really_encodes():
    assert machine.try_encoder("libx264").fault is None


def test_cpu_features_come_from_the_flags(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Some CPU\nflags\t\t: fpu avx2 avx_vnni\n")
    found = machine.cpu(info)
    assert found.model == "Some CPU"
    assert [name for name, has in found.features.items() if has] == ["avx2", "vnni"]


def test_system_without_cpuinfo_lists_no_features(tmp_path):
    assert machine.cpu(tmp_path / "none").features is None


def test_export_without_its_libraries_says_what_to_install(monkeypatch):
    monkeypatch.setattr(export, "_NEEDED", ("json", "no_such_library"))
    failed = run("export")
    assert failed.exit_code == EngineError.exit_code
    assert "export needs no_such_library; install with: pip install 'demoire[train]'" in (
        failed.stderr
    )


def test_export_never_overwrites_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_NEEDED", ())
    target = tmp_path / "x.onnx"
    target.write_bytes(b"mine")
    failed = run("export", "-o", str(target))
    assert (failed.exit_code, target.read_bytes()) == (1, b"mine")
    assert "exists already" in failed.stderr
