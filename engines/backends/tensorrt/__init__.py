"""NVIDIA's compiler: the exported network and the smoothing as TensorRT engines on one GPU.

`network`, `smoothing` and `surfaces` write what is to be computed as ONNX, `library` has TensorRT
compile it, `device` says what a device does for a session and `cuda` does it, `inlet` takes a
decoder's pictures there, `blender` smooths there, `session` keeps pictures in flight, and `engine`
is the back end.
"""
