"""Stages: generator functions from frames to frames."""

STAGES: dict[str, str] = {
    "clean": "pipeline.stages.clean:clean",
    "compare": "pipeline.stages.compare:compare",
}
"""Makers of stages by name, as `module:name` so that only what is used is imported."""
