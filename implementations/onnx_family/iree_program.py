"""An ONNX graph compiled by IREE's own commands, iree-import-onnx and iree-compile, for this machine's CPU."""

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

#: The name, the dtype and the shape of an input.
Input = tuple[str, str, tuple[int, ...]]


@lru_cache(maxsize=256)
def program(graph: bytes, inputs: tuple[Input, ...]) -> Callable[..., Any]:
    """The serialized ModelProto as a function of these inputs in their order."""
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
