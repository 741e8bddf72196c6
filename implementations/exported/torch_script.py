"""The LSTMs of a TorchScript file (.pt): scripted, traced or frozen, each by its call ``aten::lstm``.

A TorchScript file is a program, which torch compiles and runs: read none from whom you do not trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from conformance.errors import UsageError
from conformance.targets.exported import Exported
from implementations.exported.torch_call import exported

_SCRIPT = "give the module to torch.jit.script and save that; a state_dict goes to --weights"


def read(path: Path) -> tuple[Exported, ...]:
    """Its LSTMs, in the order of the graph."""
    try:
        module = torch.jit.load(path, map_location="cpu").eval()
    except RuntimeError as error:
        told = str(error).strip().splitlines()[0]
        raise UsageError(f"it is no TorchScript file: {told[:160]}", _SCRIPT) from None
    graph = module.inlined_graph  # its nodes live as long as it does
    found = graph.findAllNodes("aten::lstm", True)
    if not found:
        raise UsageError("no call of aten::lstm is in its graph", _SCRIPT)
    return tuple(_exported(module, node, number) for number, node in enumerate(found))


def _exported(module: Any, node: Any, number: int) -> Exported:
    inputs = list(node.inputs())
    if len(inputs) != 9:
        raise UsageError("a call of aten::lstm is one of packed sequences, which cannot be run alone")
    name, weights = _path(inputs[2]), _value(module, inputs[2])
    own = dict(module.named_modules()).get(name)
    # A scripted nn.LSTM keeps its method, by the name of the overload that takes a tensor; a traced one only its call.
    scripted = getattr(own, "forward__0", None) if getattr(own, "original_name", "") == "LSTM" else None
    bias, layers, dropout, _, bidirectional, batch_first = (_option(module, each) for each in inputs[3:])
    options = bias, layers, dropout, False, bidirectional, batch_first
    return exported(name or f"lstm_{number}", weights, options, scripted)


def _option(module: Any, value: Any) -> Any:
    told = value.toIValue()
    return _value(module, value) if told is None else told


def _value(module: Any, value: Any) -> Any:
    """What a value of the graph is that depends on no input: a constant, an attribute of the module, a list."""
    node = value.node()
    match node.kind():
        case "prim::Constant":
            return value.toIValue()
        case "prim::ListConstruct":
            return [_value(module, each) for each in node.inputs()]
        case "prim::GetAttr":
            return getattr(_value(module, next(node.inputs())), node.s("name"))
        case "prim::Param":
            return module
    raise UsageError(f"the weights of a call of aten::lstm are computed at run time, by {node.kind()}")


def _path(value: Any) -> str:
    """The name of the module that has the weights."""
    node, names = value.node(), []
    if node.kind() == "prim::ListConstruct":
        node = next(node.inputs()).node()
    while node.kind() == "prim::GetAttr":
        names.append(node.s("name"))
        node = next(node.inputs()).node()
    return ".".join(reversed(names[1:]))
