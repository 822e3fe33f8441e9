"""The command line with a tiny network, for a process of its own: `train_cli.py train ...`."""

from engines.models import MODELS
from pipeline.cli import main

TINY = {"analysis": 20, "widths": (8,), "depths": (1,)}

if __name__ == "__main__":
    MODELS["tiny"] = TINY
    main()
