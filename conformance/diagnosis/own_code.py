"""The right lines for a mistake in the author's own loop, where nothing around it makes up for it.

In these lines k is the layer, d the direction, D their number, ``slot`` k·D + d, and t the step. x_t (N, I), h (N, P)
and c (N, H) are what a step reads, h_t and c_t what it leaves, a_i, a_f, a_g and a_o (N, H) the preactivations of its
gates, i, f, g and o the gates, and W_ih, W_hh, W_hr, b_ih and b_hh one layer and direction's parameters.
"""

from __future__ import annotations

from conformance.spec import GATES

_GATE = {
    "i": "i = sigmoid(a_i)",
    "f": "f = sigmoid(a_f)",
    "g": "g = np.tanh(a_g)",
    "o": "o = sigmoid(a_o)",
}
_SIGMOIDS = "i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)  # sigmoid(a) = 0.5 + 0.5 * np.tanh(0.5 * a)"
_CELL = "c_t = f * c + i * g"
_HIDDEN = "h_t = o * np.tanh(c_t)"
_TANHS = f"{_GATE['g']}\n{_HIDDEN}"
_PROJECTED = "h_t = (o * np.tanh(c_t)) @ W_hr.T"
_PREACTIVATIONS = "a = x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh"
_X = "x_t = x[t]"
_SHOWN = "output[t] = h_t"
_LEFT = "h, c = h_t, c_t"
_LAYER_BY_LAYER = """for k in range(config.num_layers):
    sequence = layer(k, sequence)  # (L, N, D*P), all steps of the layer below"""
_START = "h, c = h_0[slot], c_0[slot]  # slot = k * D + d, for all N rows"
_FINAL = "h_n[slot], c_n[slot] = h, c  # slot = k * D + d, after the last step"
_JOINED = "sequence = np.concatenate([forward, reverse], axis=2)  # (L, N, 2P), read whole by the layer above"
_REVERSE = """for t in reversed(range(L)):  # the reverse direction; with lengths from each row's lengths[n] - 1
    h, c = step(x[t], h, c)
    reverse[t] = h"""
_TURNED = """for n, length in enumerate(lengths):  # of x before the reverse direction reads it, and of its output again
    turned[:length, n] = turned[:length, n][::-1].copy()"""
_MASKED = """valid = (t < lengths)[:, None]  # (N, 1), row n by its own lengths[n]
h, c = np.where(valid, h_t, h), np.where(valid, c_t, c)
output[t] = np.where(valid, h_t, 0)"""
_FROM_THE_FIRST = "row = x[: lengths[n], n]  # its first steps: padding stands behind them, in the output too"
_SORTED = """order = np.argsort(-lengths, kind="stable")
x, h_0, c_0, lengths = x[:, order], h_0[:, order], c_0[:, order], lengths[order]"""
_UNSORTED = """back = np.argsort(np.argsort(-lengths, kind="stable"))  # after the call
output, h_n, c_n = output[:, back], h_n[:, back], c_n[:, back]"""
_RETURNED = "return output, (h_n, c_n)  # NumPy arrays of config.dtype"


def _of(kind: str, reverse: bool = False) -> str:
    name = f'params[f"{kind}_l{{k}}_reverse"]' if reverse else f'params[f"{kind}_l{{k}}" + ("_reverse" if d else "")]'
    short = kind.replace("weight", "W").replace("bias", "b")
    return f"{short} = {name}"


def _all_of(*kinds: str, reverse: bool = False) -> str:
    return "\n".join(_of(kind, reverse) for kind in kinds)


_BIASES = _all_of("bias_ih", "bias_hh")


def _declared(dtype: str, kind: str) -> str:
    return f'arithmetic = {{"{dtype}": "{kind}"}}  # in Capabilities if it is meant, or compute in config.dtype'


#: By the id of a fault.
OWN_CODE: dict[str, str] = {
    # The step
    "input-forget": _GATE["f"],
    "forget-bias-after-sigmoid": f"{_GATE['f']}  # a_f with both of its biases",
    "candidate-through-sigmoid": _GATE["g"],
    "candidate-linear": _GATE["g"],
    "output-gate-tanh": _GATE["o"],
    "peephole": f"{_GATE['o']}  # without c",
    "leaky-forget": _GATE["f"],
    "forget-gate-in-half": f"{_GATE['f']}  # in config.dtype",
    "input-gate-added": _CELL,
    "forget-gate-on-both": _CELL,
    "cell-epsilon": _CELL,
    "cell-in-half": f"{_CELL}  # in config.dtype",
    "cell-in-fixed-point": f"{_CELL}  # in config.dtype",
    "cell-through-bfloat16": f"{_CELL}  # in config.dtype",
    "cell-clipped-at-100": f"{_CELL}  # not clipped",
    "half-cell-overflows": _CELL,
    "hidden-without-tanh": _HIDDEN,
    "hidden-tanh-outside": _HIDDEN,
    "hidden-from-old-cell": _HIDDEN,
    "hidden-clipped": f"{_HIDDEN}  # not clipped",
    "first-row-output-gate": f"{_HIDDEN}  # o (N, H), each row its own",
    "projection-not-recurrent": f"{_PROJECTED}\nh = h_t  # what the next step reads",
    "projection-skipped": _PROJECTED,
    "projection-twice": _PROJECTED,
    "projection-then-tanh": _PROJECTED,
    "projected-clipped-at-20": _PROJECTED,
    "tanh-of-projected-cell": _PROJECTED,
    "preactivation-clipped": f"{_PREACTIVATIONS}  # not clipped",
    "row-reads-neighbour": f"{_PREACTIVATIONS}  # h (N, P), each row its own",
    "recurrent-h-in-half": f"{_PREACTIVATIONS}  # h in config.dtype",
    # Activations
    "sigmoid-epsilon": _SIGMOIDS,
    "hard-sigmoid": _SIGMOIDS,
    "sigmoid-lookup": _SIGMOIDS,
    "sigmoid-saturates-early": _SIGMOIDS,
    "sigmoid-one-past-13": _SIGMOIDS,
    "sigmoid-linear-near-zero": _SIGMOIDS,
    "sigmoid-nan-past-88": _SIGMOIDS,
    "sigmoid-nan-at-infinity": _SIGMOIDS,
    "half-sigmoid-nan": _SIGMOIDS,
    "sigmoid-seam": _SIGMOIDS,
    "tanh-table": _TANHS,
    "tanh-dented": _TANHS,
    "tanh-cubic-near-zero": _TANHS,
    "tanh-nan-at-infinity": _TANHS,
    "float64-tanh-saturates-early": _TANHS,
    "half-tanh-rational": _TANHS,
    "cell-tanh-pade": _HIDDEN,
    "cell-tanh-nan-past-44": _HIDDEN,
    "cell-square-overflows": _HIDDEN,
    "float32-cell-tanh-for-float64": f"{_HIDDEN}  # in config.dtype",
    # Which parameters
    "reverse-uses-forward-weights": _all_of("weight_ih", "weight_hh", "bias_ih", "bias_hh", reverse=True),
    "upper-reverse-uses-forward-weights": _all_of("weight_ih", "weight_hh", "bias_ih", "bias_hh", reverse=True),
    "reverse-uses-forward-biases": _all_of("bias_ih", "bias_hh", reverse=True),
    "tied-directions": _all_of("bias_ih", "bias_hh", reverse=True),
    "upper-biases-of-layer-below": _BIASES,
    "equal-biases-once": _PREACTIVATIONS,
    "first-biases-for-all": _PREACTIVATIONS,
    "pruned-rows-folded": _PREACTIVATIONS,
    "third-layer-uses-second-weights": _of("weight_ih"),
    "recurrent-weights-of-layer-below": _of("weight_hh"),
    "projection-of-layer-below": _of("weight_hr"),
    "layers-sorted-as-text": f"{_of('weight_ih')}  # by number, not in the order of sorted(params)",
    # What a layer reads
    "upper-reads-forward-half": _JOINED,
    "directions-stacked-apart": _JOINED,
    "halves-swapped": _JOINED,
    "halves-interleaved": _JOINED,
    "halves-summed": _JOINED,
    "residual": _JOINED,
    "upper-reverse-reads-first-row": _JOINED,
    # The order of time
    "reverse-not-flipped-back": _REVERSE,
    "lower-reverse-not-flipped-back": _REVERSE,
    "upper-reverse-not-flipped": _REVERSE,
    "reverse-reads-forward": _REVERSE,
    "reverse-flips-batch": _REVERSE,
    "reverse-flips-features": _REVERSE,
    "reverse-starts-late": _REVERSE,
    "reverse-output-shifted": _REVERSE,
    "reverse-middle-unswapped": _REVERSE,
    "reverse-even-length": _REVERSE,
    "looks-ahead": _X,
    "lags": _X,
    "output-lags": f"{_SHOWN}  # h after step t",
    "centred-over-time": f"{_X}  # no mean subtracted",
    "centred-over-batch": f"{_X}  # no mean subtracted",
    "input-clipped": f"{_X}  # not clipped",
    "input-clipped-at-a-million": f"{_X}  # not clipped",
    "dynamic-quantisation": f"{_X}  # not quantised",
    # States
    **dict.fromkeys(
        (
            *("h-0-ignored", "c-0-ignored", "first-layer-state-for-all", "only-first-layer-state"),
            *("reverse-state-ignored", "reverse-uses-forward-state", "reverse-c-0-of-forward"),
            *("upper-state-in-reverse", "third-layer-h-0-ignored", "single-row-state-ignored", "h-0-alone-ignored"),
            *("c-0-alone-ignored", "first-row-state-for-all", "c-0-squashed", "h-0-clipped-at-8"),
            *("full-lengths-lose-the-state", "one-step-ignores-h-0"),
        ),
        _START,
    ),
    **dict.fromkeys(
        (
            *("c-n-is-h-n", "h-n-zeros", "c-n-zeros", "c-n-zeros-below", "h-n-of-first-step", "h-n-of-last-step"),
            *("lower-h-n-is-top", "c-n-squashed", "h-n-squashed", "c-n-clipped", "h-n-ulp-off", "h-n-is-c-n"),
            "c-n-before-last-update",
            "final-states-of-first-step",
            "final-states-are-initial",
        ),
        _FINAL,
    ),
    # Wiring
    **dict.fromkeys(
        (
            *("weights-of-other-direction", "weights-of-layer-below", "weights-of-first-layer"),
            "weights-of-second-layer",
        ),
        f"{_of('weight_ih')}\n{_of('weight_hh')}\n{_BIASES}",
    ),
    **dict.fromkeys(
        (
            "initial-state-ignored",
            *("state-of-other-direction", "state-of-layer-below", "state-rows-before-directions"),
            *("state-of-row-before", "upper-layers-run-on", "reverse-runs-on", "one-state-for-all-layers"),
            *("rows-run-on", "c-0-as-h-0", "h-0-as-c-0"),
        ),
        _START,
    ),
    "first-row-h-for-all": f"{_PREACTIVATIONS}  # h (N, P), each row its own",
    "first-row-c-for-all": f"{_CELL}  # c (N, H), each row its own",
    "first-row-x-for-all": f"{_PREACTIVATIONS}  # x_t (N, I), each row its own",
    "hidden-updated-in-place": f"{_PREACTIVATIONS}  # all units, before h is changed",
    "hidden-never-updated": _LEFT,
    "cell-never-updated": _LEFT,
    "state-is-h-twice": f"{_LEFT}  # two arrays, from the start on: np.zeros for each",
    "state-is-c-twice": f"{_LEFT}  # two arrays, from the start on: np.zeros for each",
    "output-shows-cell": _SHOWN,
    "reverse-output-rows-flipped": _REVERSE,
    **dict.fromkeys(
        (
            *("top-layer-not-run", "layers-read-two-below", "upper-layers-read-first-step"),
            *("upper-layers-read-last-step", "upper-layers-read-x"),
        ),
        _LAYER_BY_LAYER,
    ),
    "final-states-zeros": _FINAL,
    "c-n-is-h-n-of-its-width": _FINAL,
    "output-of-first-step-only": _SHOWN,
    "output-of-last-step-only": _SHOWN,
    "output-of-forward-only": _JOINED,
    "batch-first-memory-as-time-major": "x = x.swapaxes(0, 1)  # a transposition, not a reshape; of the output too",
    "output-left-time-major": "output = output.swapaxes(0, 1) if config.batch_first else output  # of a batch",
    # Lengths
    **dict.fromkeys(
        (
            *("lengths-ignored", "lengths-sorted", "first-length-for-all", "length-of-row-before"),
            *("short-row-loses-last-step", "one-short-row-overlooked", "lengths-of-16-rows", "lengths-of-8-bits"),
            *("padding-not-zero", "cell-runs-on", "hidden-runs-on", "batch-first-padding-holds-last"),
            *("padding-times-zero", "ended-rows-decay", "mask-on-the-input-only", "square-mask-transposed"),
            "zero-steps-are-padding",
        ),
        _MASKED,
    ),
    "reverse-starts-in-padding": _TURNED,
    "upper-reverse-starts-in-padding": _TURNED,
    "states-left-sorted": _UNSORTED,
    "output-left-sorted": _UNSORTED,
    "unsorted-by-the-same-permutation": _UNSORTED,
    "h-0-not-sorted": _SORTED,
    "lengths-kept-for-a-shape": "valid = (t < lengths)[:, None]  # the lengths of this call",
    "lengths-stay": "lengths = np.full(N, L) if lengths is None else lengths  # in each call",
    "output-holds-last": _MASKED,
    "output-runs-on": _MASKED,
    "padding-taken-on-the-left": _FROM_THE_FIRST,
    "padding-of-x-taken-on-the-left": _FROM_THE_FIRST,
    "packed-rows-run-as-one": _MASKED,
    "padded-read-as-packed": _MASKED,
    "padded-read-as-packed-unsorted": _MASKED,
    "final-states-of-longest-row": _MASKED,
    "final-states-of-shorter-rows-zero": _MASKED,
    "h-n-of-last-shown-step": _FINAL,
    "h-n-of-last-index": _FINAL,
    # Digits
    "tf32": _declared("float32", "tf32"),
    "bf16-factors": _declared("float32", "bf16-inputs"),
    "half-accumulation": _declared("float32", "half-accumulate"),
    "half-sums": _declared("float16", "half-accumulate"),
    "stored-in-bfloat16": _declared("float32", "bf16"),
    "float32-for-float64": 'dtypes = ("float32",)  # in Capabilities, or compute in config.dtype',
    # What is returned
    "answer-of-three": _RETURNED,
    "answer-in-lists": _RETURNED,
}

_OF_FAMILY = {"gates": _SIGMOIDS, "cell": _HIDDEN, "both-tanh": _TANHS}


def own_code(fault: str) -> str:
    """The right lines for a fault of the catalogue or of a family; nothing if none are known."""
    if fault in OWN_CODE:
        return OWN_CODE[fault]
    what, through, _ = fault.partition("-through-")
    if through and what in (*GATES, *_OF_FAMILY):
        return _CELL if fault == "cell-through-its-own-tanh" else (_GATE | _OF_FAMILY)[what]
    if fault.startswith("rows-sorted-"):
        return f"{_SORTED}\n{_UNSORTED}"
    if fault.startswith("mask-holds-"):
        return _MASKED
    if fault.startswith("lengths-"):
        return _TURNED if "flip-" in fault else _MASKED
    if fault.startswith("rows-of-gate-") or (fault.startswith("gate-") and fault.endswith("-plus-1")):
        return _PREACTIVATIONS
    if fault.startswith("cell-"):
        return _CELL if fault in _CELLS else ""
    return _HIDDEN if fault.startswith("hidden-") else ""


_CELLS = (
    *("cell-without-forget-gate", "cell-without-input-gate", "cell-forgets-all", "cell-takes-nothing-in"),
    *("cell-subtracts", "cell-coupled-to-forget", "cell-gates-exchanged", "cell-reads-squashed"),
)


def ignored(kinds: tuple[str, ...]) -> str:
    """The line in which ignored parameters must occur."""
    return _PROJECTED if kinds == ("weight_hr",) else _PREACTIVATIONS
