"""Each framework called as its users call it: its own arrays by its own names, no conversion of anything.

A function takes the arrays of one layer and direction, x and the two parts of a state in the framework's own order and
axes, all NumPy float32, and returns the output and the final state alike. Where it takes one step, the loop is
``stepped``. The functions import their framework, so any Python has those that are installed there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from conformance.spec import Array

Arrays = dict[str, Array]
Run = Callable[[Arrays, Array, Array, Array], tuple[Any, Any, Any]]
_GATES = ("input", "forget", "cell", "output")


def stepped(step: Callable[..., Any], x: Array, first: Array, second: Array) -> tuple[Array, Array, Array]:
    """``step(x_t, first, second) -> (first, second)`` over the first axis of x; the output is the first part's."""
    shown = []
    for x_t in x:
        first, second = (np.array(part) for part in step(x_t, first, second))
        shown.append(first)
    return np.stack(shown), first, second


# torch and what is built on it


def _torch(cls: Any, a: Arrays, x: Array, h: Array, c: Array, **options: Any) -> Any:
    import torch

    lstm = cls(x.shape[-1], h.shape[-1], **options)
    lstm.load_state_dict({f"{name}_l0": torch.tensor(value) for name, value in a.items()})
    with torch.no_grad():
        output, (h_n, c_n) = lstm.eval()(torch.tensor(x), (torch.tensor(h), torch.tensor(c)))
    return output, h_n, c_n


def pytorch(*given: Any) -> Any:
    """torch.nn.LSTM."""
    import torch

    return _torch(torch.nn.LSTM, *given)


def opacus(*given: Any) -> Any:
    """opacus.layers.DPLSTM."""
    from opacus.layers import DPLSTM

    return _torch(DPLSTM, *given)


def brevitas(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """brevitas.nn.QuantLSTM with every quantizer off."""
    import torch
    from brevitas.nn import QuantLSTM

    off = ("weight", "bias", "io", "gate_acc", "sigmoid", "tanh", "cell_state")
    lstm = QuantLSTM(x.shape[-1], h.shape[-1], **{f"{name}_quant": None for name in off}).eval()
    letters = dict(zip("ifgo", _GATES, strict=True))
    for name, value in a.items():
        gate, _, kind = name.partition(".")
        place = f"{letters[gate]}_gate_params.{kind}{'' if kind == 'bias' else '.weight'}"
        lstm.layers[0][0].get_parameter(place).data.copy_(torch.tensor(value))
    with torch.no_grad():
        output, (h_n, c_n) = lstm(torch.tensor(x), torch.tensor(h), torch.tensor(c))
    return output, h_n, c_n


def labml(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """labml_nn.lstm.LSTM."""
    import torch
    from labml_nn.lstm import LSTM

    lstm = LSTM(x.shape[-1], h.shape[-1], 1)
    lstm.cells[0].load_state_dict({name: torch.tensor(value) for name, value in a.items()})
    with torch.no_grad():
        output, (h_n, c_n) = lstm(torch.tensor(x), (torch.tensor(h), torch.tensor(c)))
    return output, h_n, c_n


# ONNX files, and runtimes with a format of their own


def onnx_model(a: Arrays, x: Array, h: Array, dtype: int = 1) -> Any:
    """One LSTM node with W, R, B behind the axis of directions; inputs X, initial_h, initial_c."""
    from onnx import helper, numpy_helper

    names = ["X", "W", "R", "B", "", "initial_h", "initial_c"]
    node = helper.make_node("LSTM", names, ["Y", "Y_h", "Y_c"], hidden_size=h.shape[-1])
    squeeze = helper.make_node("Squeeze", ["Y", "axis"], ["output"])
    constants = {name: value[None] for name, value in a.items()} | {"axis": np.array([1])}
    shapes = {"X": x.shape, "initial_h": h.shape, "initial_c": h.shape}
    results = {"output": (*x.shape[:2], h.shape[-1]), "Y_h": h.shape, "Y_c": h.shape}
    graph = helper.make_graph(
        [node, squeeze],
        "lstm",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in results.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def onnxruntime(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_model(a, x, h).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": x, "initial_h": h, "initial_c": c})


def onnx_evaluator(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """onnx.reference.ReferenceEvaluator."""
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(onnx_model(a, x, h))
    return evaluator.run(None, {"X": x, "initial_h": h, "initial_c": c})


def opencv(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """cv2.dnn."""
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(onnx_model(a, x, h).SerializeToString(), np.uint8))
    for name, value in {"X": x, "initial_h": h, "initial_c": c}.items():
        net.setInput(np.ascontiguousarray(value), name)
    return [np.array(part) for part in net.forward(["output", "Y_h", "Y_c"])]


def tract(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """tract."""
    import tract

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lstm.onnx")
        path.write_bytes(onnx_model(a, x, h).SerializeToString())
        model = tract.onnx().load(path).into_model().into_runnable()
    return [part.to_numpy() for part in model.run([x, h, c])]


def openvino(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """openvino.opset13.lstm_sequence; its output is (N, D, L, H)."""
    import openvino
    from openvino import opset13 as ops

    inputs = [ops.parameter(part.shape, np.float32) for part in (x, h, c)]
    lengths = ops.constant(np.full(len(x), x.shape[1], np.int32))
    weights = [a[name][None] for name in "WRB"]
    node = ops.lstm_sequence(*inputs, lengths, *weights, h.shape[-1], "forward")
    model = openvino.Model([node.output(k) for k in range(3)], inputs, "lstm")
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    output, h_n, c_n = (np.array(part) for part in compiled([x, h, c]).values())
    return output[:, 0], h_n, c_n


def ncnn(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """ncnn's layer, from its two files; one sequence."""
    import ncnn

    lines = ["7767517", "4 6", "Input x 0 1 x", "Input h 0 1 h", "Input c 0 1 c"]
    lines.append(f"LSTM lstm 3 3 x h c y hn cn 0={h.shape[-1]} 1={a['weight_xc'].size} 2=0 3={h.shape[-1]}")
    net = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, option, False)
    with tempfile.TemporaryDirectory() as folder:
        texts, weights = Path(folder, "lstm.param"), Path(folder, "lstm.bin")
        texts.write_text("\n".join(lines) + "\n")
        # Each behind the tag of float32, in the order of the layer's load_model.
        weights.write_bytes(b"".join(b"\0\0\0\0" + a[name].tobytes() for name in ("weight_xc", "bias_c", "weight_hc")))
        if net.load_param(str(texts)) or net.load_model(str(weights)):
            raise RuntimeError("ncnn does not load the network")
    extractor, given = net.create_extractor(), {"x": x, "h": h, "c": c}
    kept = {name: np.array(value, order="C") for name, value in given.items()}
    for name, value in kept.items():
        extractor.input(name, ncnn.Mat(value))
    return [np.array(extractor.extract(name)[1]) for name in ("y", "hn", "cn")]


# Keras, JAX, TensorFlow


def keras(backend: str, a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """keras.layers.LSTM on a backend; a process has one."""
    if os.environ.setdefault("KERAS_BACKEND", backend) != backend:
        raise ImportError(f"this process has Keras on {os.environ['KERAS_BACKEND']}")
    import keras

    layer = keras.layers.LSTM(h.shape[-1], return_sequences=True, return_state=True)
    layer.build(x.shape)
    for variable in layer.weights[:3]:
        variable.assign(a[variable.name])
    found = layer(keras.ops.convert_to_tensor(x), initial_state=[keras.ops.convert_to_tensor(part) for part in (h, c)])
    return [keras.ops.convert_to_numpy(part) for part in found]


def flax_nnx(a: Arrays, x: Array, c: Array, h: Array) -> Any:
    """flax.nnx.RNN over LSTMCell, or OptimizedLSTMCell where the arrays are its."""
    from flax import nnx

    kind = nnx.LSTMCell if "ii.kernel" in a else nnx.OptimizedLSTMCell
    cell = kind(x.shape[-1], h.shape[-1], rngs=nnx.Rngs(0))
    for name, value in a.items():
        module, _, leaf = name.partition(".")
        module = getattr(cell, {"if": "if_"}.get(module, module))
        getattr(module, leaf)[...] = value
    (c_n, h_n), output = nnx.RNN(cell)(x, initial_carry=(c, h), return_carry=True)
    return output, c_n, h_n


def flax_linen(a: Arrays, x: Array, c: Array, h: Array) -> Any:
    """flax.linen.RNN over LSTMCell."""
    from flax import linen

    of: dict[str, Any] = {}
    for name, value in a.items():
        module, _, leaf = name.partition(".")
        of.setdefault(module, {})[leaf] = value
    rnn = linen.RNN(linen.LSTMCell(h.shape[-1]))
    (c_n, h_n), output = rnn.apply({"params": {"cell": of}}, x, initial_carry=(c, h), return_carry=True)
    return output, c_n, h_n


def haiku(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """hk.dynamic_unroll over hk.LSTM."""
    import haiku as hk

    run = hk.transform(lambda x, h, c: hk.dynamic_unroll(hk.LSTM(h.shape[-1], name="lstm"), x, hk.LSTMState(h, c)))
    output, state = hk.without_apply_rng(run).apply({"lstm/linear": a}, x, h, c)
    return output, state.hidden, state.cell


def equinox(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """equinox.nn.LSTMCell: one step of one row."""
    import equinox
    import jax

    cell = equinox.nn.LSTMCell(x.shape[-1], h.shape[-1], key=jax.random.key(0))
    for name, value in a.items():
        cell = equinox.tree_at(lambda cell, name=name: getattr(cell, name), cell, jax.numpy.array(value))
    return stepped(lambda x_t, h, c: cell(x_t, (h, c)), x, h, c)


def jax_rnn(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """jax.experimental.rnn.lstm_ref."""
    import jax
    from jax.experimental import rnn

    parts = ({0: jax.numpy.array(a[name])} for name in ("W_ih", "W_hh", "b_ih", "b_hh"))
    lengths = np.full(len(x), x.shape[1], np.int32)
    return rnn.lstm_ref(x, h, c, *parts, lengths, x.shape[-1], h.shape[-1], 1, 0.0, False)


def block(version: int, a: Arrays, x: Array, c: Array, h: Array) -> Any:
    """tf.raw_ops.BlockLSTM or BlockLSTMV2 without peepholes and clipping."""
    import tensorflow as tf

    none = np.zeros(h.shape[-1], np.float32)
    given = {"seq_len_max": len(x), "x": x, "cs_prev": c, "h_prev": h, "wci": none, "wcf": none, "wco": none, **a}
    if version == 1:
        found = tf.raw_ops.BlockLSTM(**given, forget_bias=0.0, cell_clip=-1.0)
    else:
        found = tf.raw_ops.BlockLSTMV2(**given, cell_clip=0.0)
    return found.h, found.cs[-1], found.h[-1]


def sonnet(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """snt.dynamic_unroll over snt.LSTM."""
    import sonnet as snt
    import tensorflow as tf

    core = snt.LSTM(h.shape[-1])
    core(tf.constant(x[0]), snt.LSTMState(tf.constant(h), tf.constant(c)))  # which makes its variables
    for variable in core.variables:
        variable.assign(a[variable.name.rpartition("/")[2].partition(":")[0]])
    output, state = snt.dynamic_unroll(core, tf.constant(x), snt.LSTMState(tf.constant(h), tf.constant(c)))
    return output, state.hidden, state.cell


# Others


def mlx(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """mlx.nn.LSTM, which returns c at every step."""
    import mlx.core as mx
    import mlx.nn

    lstm = mlx.nn.LSTM(x.shape[-1], h.shape[-1])
    lstm.load_weights([(name, mx.array(value)) for name, value in a.items()])
    hidden, cell = lstm(mx.array(x), mx.array(h), mx.array(c))
    return np.array(hidden), np.array(hidden)[:, -1], np.array(cell)[:, -1]


def tinygrad(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """tinygrad.nn.LSTMCell: one step."""
    from tinygrad import Tensor, nn

    cell = nn.LSTMCell(x.shape[-1], h.shape[-1])
    for name, value in a.items():
        getattr(cell, name).assign(Tensor(value))
    return stepped(
        lambda *given: [part.numpy() for part in cell(Tensor(given[0]), tuple(map(Tensor, given[1:])))], x, h, c
    )


def paddle(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """paddle.nn.LSTM."""
    import paddle

    lstm = paddle.nn.LSTM(x.shape[-1], h.shape[-1])
    lstm.set_state_dict({f"0.cell.{name}": paddle.to_tensor(value) for name, value in a.items()})
    lstm.eval()
    with paddle.no_grad():
        output, (h_n, c_n) = lstm(paddle.to_tensor(x), (paddle.to_tensor(h), paddle.to_tensor(c)))
    return output.numpy(), h_n.numpy(), c_n.numpy()


def mindspore(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """mindspore.nn.LSTM."""
    import mindspore as ms

    lstm = ms.nn.LSTM(x.shape[-1], h.shape[-1])
    for variable in lstm.get_parameters():
        variable.set_data(ms.Tensor(a[variable.name.removesuffix("_l0")]))
    output, (h_n, c_n) = lstm.set_train(False)(ms.Tensor(x), (ms.Tensor(h), ms.Tensor(c)))
    return output.asnumpy(), h_n.asnumpy(), c_n.asnumpy()


def jittor(a: Arrays, x: Array, h: Array, c: Array) -> Any:
    """jittor.nn.LSTM."""
    os.environ.setdefault("nvcc_path", "")
    os.environ.setdefault("use_mkl", "0")
    import jittor as jt

    lstm = jt.nn.LSTM(x.shape[-1], h.shape[-1])
    for name, variable in lstm.named_parameters():
        variable.assign(a[name.removesuffix("_l0")])
    output, (h_n, c_n) = lstm(jt.array(x), (jt.array(h), jt.array(c)))
    return output.numpy(), h_n.numpy(), c_n.numpy()


#: By the side's id and its program: the packages whose versions are told, the first of which is its own, and the call.
NATIVE: dict[tuple[str, str], tuple[tuple[str, ...], Run]] = {
    ("pytorch", ""): (("torch",), pytorch),
    ("onnx", "ONNX Runtime"): (("onnxruntime", "onnx"), onnxruntime),
    ("onnx", "ONNX's evaluator"): (("onnx",), onnx_evaluator),
    ("onnx", "OpenCV"): (("opencv-python-headless", "onnx"), opencv),
    ("onnx", "tract"): (("tract", "onnx"), tract),
    ("openvino", ""): (("openvino",), openvino),
    ("ncnn", ""): (("ncnn",), ncnn),
    ("keras", "torch"): (("keras", "torch"), partial(keras, "torch")),
    ("keras", "JAX"): (("keras", "jax"), partial(keras, "jax")),
    ("keras", "TensorFlow"): (("keras", "tensorflow-cpu"), partial(keras, "tensorflow")),
    ("flax_nnx", ""): (("flax",), flax_nnx),
    ("flax_nnx_optimized", ""): (("flax",), flax_nnx),
    ("flax_linen", ""): (("flax",), flax_linen),
    ("haiku", ""): (("dm-haiku",), haiku),
    ("equinox", ""): (("equinox",), equinox),
    ("jax", ""): (("jax",), jax_rnn),
    ("mlx", ""): (("mlx",), mlx),
    ("tinygrad", ""): (("tinygrad",), tinygrad),
    ("tensorflow_block", ""): (("tensorflow-cpu",), partial(block, 1)),
    ("tensorflow_block_v2", ""): (("tensorflow-cpu",), partial(block, 2)),
    ("sonnet", ""): (("dm-sonnet",), sonnet),
    ("paddle", ""): (("paddlepaddle",), paddle),
    ("mindspore", ""): (("mindspore",), mindspore),
    ("jittor", ""): (("jittor",), jittor),
    ("opacus", ""): (("opacus",), opacus),
    ("brevitas", ""): (("brevitas",), brevitas),
    ("labml", ""): (("labml-nn",), labml),
}


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of packages; raises ``PackageNotFoundError`` where one is not installed."""
    return {package: version(package) for package in packages}
