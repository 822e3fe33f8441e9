"""The command line with a back end that takes one byte of stdin for each picture.

A test can so hold a real run in the middle, without timing: `python gated_cli.py clean ...`.
"""

import os

from engines.backends.identity import IdentityEngine
from engines.engine import BACKENDS


class GatedSession:
    def __init__(self, session):
        self._session = session

    def __getattr__(self, name):
        return getattr(self._session, name)

    def submit(self, pictures, *, strength=1.0, moments=()):
        os.read(0, 1)  # At the end of stdin the gate stays open.
        return self._session.submit(pictures, strength=strength, moments=moments)


class GatedEngine(IdentityEngine):
    def open(self, picture_format, *, smoothing=None, batch=None):
        return GatedSession(super().open(picture_format, smoothing=smoothing, batch=batch))


if __name__ == "__main__":
    from pipeline.cli import main

    BACKENDS["gated"] = "gated_cli:GatedEngine"
    main()
