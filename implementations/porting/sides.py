"""Each framework's convention for one layer and direction, as data. ``verify`` says whether it is so."""

from __future__ import annotations

from dataclasses import dataclass, field

#: nn.LSTM's arrays of one layer and direction, by which ``Side.arrays`` are told.
OURS = ("W_ih", "W_hh", "b_ih", "b_hh")


@dataclass(frozen=True)
class Side:
    """One framework's arrays, states and sequence."""

    #: Part of the names of functions.
    id: str
    name: str
    #: What of the framework it is about.
    what: str
    #: Its arrays by its own names, each told by nn.LSTM's: ``W_ih`` (4H, I), ``W_hh`` (4H, H), ``b_ih`` and ``b_hh``
    #: (4H,), ``b`` their sum; ``[i]`` is one gate's block, ``+`` joins along the last axis, ``.T`` transposes.
    arrays: dict[str, str]
    #: The order of the four blocks.
    gates: str = "ifgo"
    #: What it adds to the forget gate's bias itself, at every call.
    forget: int = 0
    #: The order of a state's parts, and the axes of each.
    state: str = "hc"
    axes: str = "N H"
    #: The axes of a sequence; without L, it takes one step.
    x: str = "L N I"
    #: The backend of the table for each of ``programs``.
    backends: tuple[str, ...] = field(default=())
    #: The programs that ``native`` calls, where the arrays are those of a format.
    programs: tuple[str, ...] = ("",)

    @property
    def biases(self) -> int:
        """How many biases it has."""
        return 2 if any("b_hh" in told for told in self.arrays.values()) else 1


def _of_gates(pattern: str, told: str, gates: str = "ifgo") -> dict[str, str]:
    """An array for each gate: ``*`` in the name is the gate's letter."""
    return {pattern.replace("*", gate): told.replace("*", ours) for gate, ours in zip(gates, "ifgo", strict=True)}


_TORCH = {"weight_ih": "W_ih", "weight_hh": "W_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
_COLUMNS = {"kernel": "W_ih.T", "recurrent_kernel": "W_hh.T", "bias": "b"}
_GATES_OF_FLAX = (
    _of_gates("i*.kernel", "W_ih[*].T") | _of_gates("h*.kernel", "W_hh[*].T") | _of_gates("h*.bias", "b[*]")
)
_ONE = {"W": "W_ih", "R": "W_hh", "B": "b"}

SIDES = (
    Side("pytorch", "PyTorch", "nn.LSTM", _TORCH, axes="1 N H", backends=("torch-nn",)),
    Side(
        "onnx",
        "ONNX",
        "the operator LSTM, each array behind an axis of directions",
        {"W": "W_ih", "R": "W_hh", "B": "b_ih + b_hh"},
        gates="iofg",
        axes="1 N H",
        programs=("ONNX Runtime", "ONNX's evaluator", "OpenCV", "tract"),
        backends=("onnxruntime", "onnx-reference", "opencv-dnn", "tract"),
    ),
    Side("openvino", "OpenVINO", "LSTMSequence-5, each array behind an axis of directions", _ONE, gates="figo",
         axes="N 1 H", x="N L I", backends=("openvino",)),
    Side("ncnn", "ncnn", "the layer LSTM; weight_xc_data, weight_hc_data, bias_c_data in its file",
         {"weight_xc": "W_ih", "weight_hc": "W_hh", "bias_c": "b"}, gates="ifog", axes="1 H", x="L I",
         backends=("ncnn",)),
    Side("keras", "Keras", "layers.LSTM", _COLUMNS, x="N L I",
         programs=("torch", "JAX", "TensorFlow"), backends=("keras-torch", "keras-jax", "keras-tensorflow")),
    Side("flax_nnx", "Flax NNX", "nnx.LSTMCell in nnx.RNN", _GATES_OF_FLAX, state="ch", x="N L I",
         backends=("flax-nnx",)),
    Side("flax_nnx_optimized", "Flax NNX, optimized", "nnx.OptimizedLSTMCell in nnx.RNN",
         {"dense_i.kernel": "W_ih.T", "dense_h.kernel": "W_hh.T", "dense_h.bias": "b"}, state="ch", x="N L I",
         backends=("flax-nnx-optimized",)),
    Side("flax_linen", "Flax Linen", "linen.LSTMCell or OptimizedLSTMCell in linen.RNN", _GATES_OF_FLAX, state="ch",
         x="N L I", backends=("flax-linen",)),
    Side("haiku", "Haiku", "hk.LSTM", {"w": "W_ih + W_hh .T", "b": "b"}, gates="igfo", forget=1, backends=("haiku",)),
    Side("equinox", "Equinox", "nn.LSTMCell", {"weight_ih": "W_ih", "weight_hh": "W_hh", "bias": "b"}, axes="H", x="I",
         backends=("equinox-cell",)),
    Side("jax", "JAX", "experimental.rnn.lstm_ref, with the dicts W_ih, W_hh, b_ih, b_hh",
         {name: name for name in OURS}, axes="1 N H", x="N L I", backends=("jax-lstm-ref",)),
    Side("mlx", "MLX", "nn.LSTM", {"Wx": "W_ih", "Wh": "W_hh", "bias": "b"}, x="N L I", backends=("mlx",)),
    Side("tinygrad", "tinygrad", "nn.LSTMCell", _TORCH, x="N I", backends=("tinygrad",)),
    Side("tensorflow_block", "TensorFlow BlockLSTM", "raw_ops.BlockLSTM with forget_bias=0",
         {"w": "W_ih + W_hh .T", "b": "b"}, gates="igfo", state="ch", backends=("tensorflow-block",)),
    Side("tensorflow_block_v2", "TensorFlow BlockLSTMV2", "raw_ops.BlockLSTMV2", {"w": "W_ih + W_hh .T", "b": "b"},
         state="ch", backends=("tensorflow-block-v2",)),
    Side("sonnet", "Sonnet", "snt.LSTM", {"w_i": "W_ih.T", "w_h": "W_hh.T", "b": "b"}, backends=("sonnet",)),
    Side("paddle", "PaddlePaddle", "nn.LSTM", _TORCH, axes="1 N H", x="N L I", backends=("paddle",)),
    Side("mindspore", "MindSpore", "nn.LSTM", _TORCH, axes="1 N H", backends=("mindspore",)),
    Side("jittor", "Jittor", "nn.LSTM", _TORCH, axes="1 N H", backends=("jittor",)),
    Side("opacus", "Opacus", "DPLSTM", _TORCH, axes="1 N H", backends=("opacus",)),
    Side(
        "brevitas",
        "Brevitas",
        "nn.QuantLSTM, per direction, <gate>_gate_params with the gates input, forget, cell, output",
        _of_gates("*.input_weight", "W_ih[*]") | _of_gates("*.hidden_weight", "W_hh[*]") | _of_gates("*.bias", "b[*]"),
        axes="1 N H",
        backends=("brevitas",),
    ),
    Side("labml", "labml.ai", "lstm.LSTM: cells[k]",
         {"input_lin.weight": "W_ih", "hidden_lin.weight": "W_hh", "hidden_lin.bias": "b"}, axes="1 N H",
         backends=("labml-nn",)),
)  # fmt: skip
