"""A compiler that makes what Torch-TensorRT makes, on a CPU: a program of one operator.

The operator has TensorRT's name and runs the network in torch, which it finds by a number.
"""

import io

import torch
from torch.library import Library

_NETWORKS = []


def _execute(tensors, number):
    return list(_NETWORKS[number](*tensors))


def _shapes(tensors, number):
    return [torch.empty_like(tensor) for tensor in tensors]


def define_operator():
    """Define `tensorrt::execute_engine`; keep what is returned for as long as it is used."""
    library = Library("tensorrt", "DEF")
    library.define("execute_engine(Tensor[] inputs, int engine) -> Tensor[]")
    library.impl("execute_engine", _execute, "CPU")
    torch.library.register_fake("tensorrt::execute_engine", _shapes, lib=library)
    return library


class OneEngine(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.number = len(_NETWORKS)
        _NETWORKS.append(network)

    def forward(self, y, u, v):
        return tuple(torch.ops.tensorrt.execute_engine([y, u, v], self.number))


class WholeCompiler:
    """Implements `Compiler`, and counts."""

    def __init__(self, version="1.0"):
        self.versions = {"library": version}
        self.built = self.loaded = 0

    def build(self, program, profile):
        return self.whole(program, profile, next(iter(program.state_dict.values())).dtype)

    def whole(self, program, profile, dtype):
        """The program as one operator between tensors of a type."""
        self.built += 1
        module = OneEngine(program.module())
        example = profile.example(dtype, torch.device("cpu"))
        whole = torch.export.export(module, example, dynamic_shapes=profile.dynamic_shapes())
        file = io.BytesIO()
        torch.export.save(whole, file)
        return file.getvalue()

    def load(self, content):
        self.loaded += 1
        return torch.export.load(io.BytesIO(content))
