"""The peer's Python environment: made with the pinned packages, and asked for its versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

_ASK = """
import json, vapoursynth
from importlib import metadata
said = vapoursynth.core.ov.Version()
names = ("VapourSynth", "vapoursynth-bestsource", "vapoursynth-mlrt-ov")
print(json.dumps({name: metadata.version(name) for name in names} | {
    key: value if isinstance(value, str) else value.decode()
    for key, value in said.items() if key in ("openvino_version", "onnx_version")
}))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with VapourSynth in it."""

    folder: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def vspipe(self) -> str:
        """VapourSynth's program that runs a script and writes its frames."""
        return str(self.folder / "bin" / "vspipe")

    @property
    def variables(self) -> dict[str, str]:
        """What its programs find in their environment."""
        # VapourSynth notes in its configuration which Python it belongs to: here, not at home.
        own = {"XDG_CONFIG_HOME": str(self.folder / "config")}
        # Where demoire's modules lie is nothing to the other Python.
        return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | own

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages, and of what the plugin was built with."""
        found: dict[str, str] = json.loads(self._call(self.python, "-c", _ASK))
        return found

    def _call(self, *command: str) -> str:
        """Return what a command prints.

        Raises:
            SystemExit: It failed; its last words are in the message.
        """
        done = subprocess.run(
            command, env=self.variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def install(self) -> None:
        """Install what the requirements pin, and try that a script can run."""
        self._call(self.python, "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS))
        (self.folder / "config").mkdir(exist_ok=True)
        # Fails unless the Python has a shared library, in which scripts are run.
        self._call(str(self.folder / "bin" / "vapoursynth"), "config")
        self._call(self.vspipe, "--version")


def prepare(interpreter: str, folder: Path) -> Environment:
    """Return the environment in `folder`, made with `interpreter` unless it is there.

    Raises:
        SystemExit: It cannot be made.
    """
    environment = Environment(folder.resolve())
    if not Path(environment.python).exists():
        print(f"making {os.path.relpath(folder)} with {interpreter}", flush=True)
        done = subprocess.run([interpreter, "-m", "venv", str(folder)], check=False)
        if done.returncode:
            sys.exit(f"--python3.12: {interpreter} cannot make an environment; see above")
    environment.install()
    return environment
