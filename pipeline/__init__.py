"""What moves frames: sources, stages, sinks, threads, configuration and the command line."""

__version__ = "0.1.0"
