"""`python -m pipeline.cli` is `demoire`."""

from pipeline.cli import main

main()
