"""The LSTMs of a program that torch.export saved (.pt2), each by its call ``aten.lstm``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from conformance.errors import UsageError
from conformance.targets.exported import Exported
from implementations.exported.torch_call import exported

_WHOLE = "save what torch.export.export returns: run_decompositions writes an LSTM as its single steps"


def read(path: Path) -> tuple[Exported, ...]:
    """Its LSTMs, in the order of the graph."""
    program = torch.export.load(path)
    found = [node for node in program.graph.nodes if node.target is torch.ops.aten.lstm.input]
    if not found:
        raise UsageError("no call of aten.lstm is in its graph", _WHOLE)
    return tuple(_exported(program, node, number) for number, node in enumerate(found))


def _exported(program: Any, node: Any, number: int) -> Exported:
    _, _, given, *options = node.args
    known = program.graph_signature
    names = {
        **known.inputs_to_parameters,
        **known.inputs_to_buffers,
        **known.inputs_to_lifted_tensor_constants,
    }
    tensors = {**program.state_dict, **program.constants}
    own = [names.get(each.name, "") for each in given]
    if any(name not in tensors for name in own):
        raise UsageError("the weights of a call of aten.lstm are computed at run time, or inputs of the program")
    module = own[0].rpartition(".")[0]
    return exported(module or f"lstm_{number}", [tensors[name].detach() for name in own], options)
