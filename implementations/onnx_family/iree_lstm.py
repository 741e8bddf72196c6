"""IREE (https://iree.dev) on the CPU, from LSTM nodes of ONNX: compiled for each signature, weights as inputs."""

# pyright: reportMissingImports=false

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params
from implementations.adapter import finding, needs
from implementations.onnx_family.graph import Run, onnx_forward


@backend(
    "iree",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        compiled=True,
        expected_failures=finding("iree-01-lengths-ignored", "refusals.undeclared"),
    ),
    available=needs(
        "onnx", "iree.compiler", "iree.runtime", install="pip install onnx iree-base-compiler iree-base-runtime"
    ),
)
def iree_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of a program compiled by iree-import-onnx and iree-compile for this machine."""
    if config.dtype != "float32":
        raise Unsupported(f"dtype {config.dtype}")

    def load(model: Any) -> Run:
        from onnx import numpy_helper

        weights = [tensor for tensor in model.graph.initializer if tensor.name[0] in "WRB"]
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in weights}
        for tensor in weights:
            model.graph.initializer.remove(tensor)
        names = [info.name for info in model.graph.input]

        def run(feeds: dict[str, Array]) -> list[Array]:
            feeds = {name: np.ascontiguousarray(feeds[name]) for name in names} | values
            inputs = tuple((name, str(array.dtype), array.shape) for name, array in feeds.items())
            program = _program(model.SerializeToString(), inputs)
            returned = program(*feeds.values())
            return [np.array(part.to_host()) for part in returned]

        return run

    return onnx_forward(config, params, load)


@lru_cache(maxsize=256)
def _program(graph: bytes, inputs: tuple[tuple[str, str, tuple[int, ...]], ...]) -> Any:
    import onnx
    from iree import runtime

    model = onnx.load_from_string(graph)
    del model.graph.input[:]
    for name, dtype, shape in inputs:
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    with tempfile.TemporaryDirectory() as folder:
        source, text, target = (Path(folder, f"lstm.{end}") for end in ("onnx", "mlir", "vmfb"))
        onnx.save(onnx.shape_inference.infer_shapes(model), source)
        where = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
        tools = Path(sys.executable).parent
        for command in (
            [tools / "iree-import-onnx", source, "-o", text],
            [tools / "iree-compile", text, "-o", target, *where, "--iree-llvmcpu-target-cpu=host"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr[-600:])
        context = runtime.SystemContext(config=runtime.Config("local-sync"))
        context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, target.read_bytes()))
    return context.modules.module["lstm"]
