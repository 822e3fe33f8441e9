"""A camera in, a clean stream out: what `demoire live` adds to the pipeline.

The picture goes source -> clean -> encode, once; every outlet (RTSP, a publisher, a recording, the
web page) is fed with the same access units.
"""
