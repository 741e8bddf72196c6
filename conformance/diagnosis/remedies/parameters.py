"""Parameters read otherwise before the model is made of them: what undoes how they are read.

Each function gives the remedy of some faults in a scope, an empty one if there is none, and ``None`` for other faults.
"""

from __future__ import annotations

from conformance.diagnosis.own_code import ignored
from conformance.diagnosis.remedies.parts import Remedy, where
from conformance.diagnosis.scopes import GATE_ROWS, PARAMS, PLACES, Scope
from conformance.spec import GATES

_CONDITIONS = {
    "forward": 'not name.endswith("_reverse")',
    "reverse": 'name.endswith("_reverse")',
    "first-layer": '"_l0" in name',
    "upper-layers": '"_l0" not in name',
    "lower-layers": 'f"_l{config.num_layers - 1}" not in name',
    "top-layer": 'f"_l{config.num_layers - 1}" in name',
}

_GATED = PARAMS[:4]
_BIASES = ("bias_ih", "bias_hh")

_UNPACKED = "value.reshape(4, -1, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)"
_TRANSPOSED = "value.T.reshape(value.shape)"
_BLOCKS = "value.reshape(4, config.hidden_size, -1).swapaxes(1, 2).reshape(value.shape)"
_HALVES = "np.roll(value, config.output_size, axis=1)"
_IS_SQUARE = "value.shape[1] == config.hidden_size"

#: What undoes the reading of each parameter by itself: the tensors, the places and further conditions, the expression.
_READINGS: dict[str, tuple[tuple[str, ...], Scope, str, str]] = {
    "recurrent-bias-gate-order": (("bias_hh",), (), "", 'reorder(value, "iofg")'),
    "upper-gate-order": (_GATED, ("upper-layers",), "", 'reorder(value, "figo")'),
    "no-bias-gate-order": (
        ("weight_hh",), (), "config.num_layers > 1 and not config.bias", 'reorder(value, "iofg")'),
    "gates-interleaved": (_GATED, (), "", _UNPACKED),
    "input-weights-transposed": (("weight_ih",), (), "", _TRANSPOSED),
    "recurrent-weights-transposed": (("weight_hh",), (), "", _TRANSPOSED),
    "projection-transposed": (("weight_hr",), (), "", _TRANSPOSED),
    "recurrent-blocks-transposed": (("weight_hh",), (), _IS_SQUARE, _BLOCKS),
    "square-weights-transposed": (("weight_ih",), (), _IS_SQUARE, _BLOCKS),
    "first-square-transposed": (("weight_ih",), ("first-layer",), _IS_SQUARE, _BLOCKS),
    "whole-square-transposed": (("weight_ih",), (), "value.shape[0] == value.shape[1]", "value.T.copy()"),
    "upper-reads-halves-swapped": (("weight_ih",), ("upper-layers",), "", _HALVES),
    "upper-reverse-reads-halves-swapped": (("weight_ih",), ("upper-layers", "reverse"), "", _HALVES),
}  # fmt: skip


def of_params(fault: str, scope: Scope) -> Remedy | None:
    """Each parameter read back by itself."""
    if fault.startswith("gate-order-"):
        order = fault.removeprefix("gate-order-")
        kinds, places, condition, expression = _GATED, (), "", f'reorder(value, "{order}")'
    elif fault in _READINGS:
        kinds, places, condition, expression = _READINGS[fault]
    elif fault == "forget-bias-one" or (fault.startswith("bias-") and "-plus-" in fault):
        gate, _, amount = fault.removeprefix("bias-").partition("-plus-") if fault[0] == "b" else ("f", "", "1")
        kinds, places, condition = ("bias_ih",), (), ""
        expression = f"value - {_rows(gate, float(amount))}"
    else:
        return None
    chosen = [name for name in scope if name in PARAMS]
    kinds = tuple(kind for kind in kinds if kind in chosen) if chosen else kinds
    return Remedy() if not kinds else Remedy(build=_params(expression, kinds, (*places, *scope), condition))


def _rows(gate: str, amount: float) -> str:
    """An array (4H,) with a number in the rows of a gate and zeros elsewhere."""
    numbers = ", ".join(f"{amount if one == gate else 0:g}" for one in GATES)
    return f"np.repeat(np.array([{numbers}], value.dtype), config.hidden_size)"


def _params(expression: str, kinds: tuple[str, ...], scope: Scope, condition: str = "") -> str:
    """The parameters, those of some kinds and places changed; nothing where no place is all of these."""
    if any(set(pair) <= set(scope) for pair in _APART):
        return ""
    places = [_CONDITIONS[name] for name in dict.fromkeys(scope) if name in PLACES]
    tests = [test for test in (_named(kinds), *places, condition) if test]
    told = f" if {' and '.join(tests)} else value" if tests else ""
    line = f"params = {{name: {expression}{told} for name, value in params.items()}}"
    if len(line) <= 120 or not tests:
        return line
    if len(middle := f"    name: {expression}{told}") <= 120:
        return f"params = {{\n{middle}\n    for name, value in params.items()\n}}"
    inner = ("name: " + expression, "if " + "\n    and ".join(tests), "else value", "for name, value in params.items()")
    return "\n    ".join(("params = {", *inner)) + "\n}"


#: Places of which none is both.
_APART = (("forward", "reverse"), ("first-layer", "upper-layers"), ("top-layer", "lower-layers"))


def _named(kinds: tuple[str, ...]) -> str:
    if kinds in (PARAMS, _GATED):
        return "" if kinds == PARAMS else '"weight_hr" not in name'
    if kinds == _BIASES:
        return 'name.startswith("bias")'
    names = ", ".join(f'"{kind}"' for kind in kinds)
    return f"name.startswith({names})" if len(kinds) == 1 else f"name.startswith(({names}))"


#: Biases that are not read as what they are, with the places in which.
_IGNORED = {
    "recurrent-bias-ignored": ("bias_hh", ()),
    "input-bias-ignored": ("bias_ih", ()),
    "upper-recurrent-bias-ignored": ("bias_hh", ("upper-layers",)),
    "reverse-recurrent-bias-ignored": ("bias_hh", ("reverse",)),
    "top-reverse-bias-ignored": ("bias_hh", ("reverse",)),
}


def of_biases(fault: str, scope: Scope) -> Remedy | None:
    """Both biases given as one, where the other is not read."""
    if fault in _IGNORED:
        lost, places = _IGNORED[fault]
        gates = ""
    elif fault == "input-bias-twice":
        lost, places, gates = "bias_hh", (), ""
    elif fault == "parameters-ignored" and (tensors := [n for n in scope if n in _BIASES]) and len(tensors) == 1:
        lost, places = tensors[0], ()
        gates = "".join(name[-1] for name in scope if name in GATE_ROWS)
    else:
        return None
    if (chosen := set(scope) & set(PARAMS)) and lost not in chosen:
        return Remedy()
    kept = _BIASES[1 - _BIASES.index(lost)]
    other = f'params[name.replace("{kept}", "{lost}")]'
    told = f"value + {other}"
    told = f"({told}) / 2" if fault == "input-bias-twice" else told
    if gates:
        marks = ", ".join(str(gate in gates) for gate in GATES)
        line = _params(f"np.where(rows, {told}, value)", (kept,), scope)
        return Remedy(build=f"rows = np.repeat([{marks}], config.hidden_size)\n{line}" if line else "")
    only = "_l2_" if fault.startswith("top-") else ""
    return Remedy(build=_params(told, (kept,), (*places, *scope), f'"{only}" in name' if only else ""))


_FACTORS = {"parameters-negated": -1.0, "parameters-doubled": 0.5, "parameters-halved": 2.0}


def of_scaled(fault: str, scope: Scope) -> Remedy | None:
    """Parameters that count less, more or the other way are scaled; ignored ones must be read."""
    if not fault.startswith("parameters-"):
        return None
    kinds = tuple(name for name in PARAMS if name in scope) or PARAMS
    if fault not in _FACTORS:
        return Remedy(own=ignored(kinds), where=where(scope))
    gates = "".join(name[-1] for name in scope if name in GATE_ROWS)
    factor = _FACTORS[fault]
    if not gates:
        return Remedy(build=_params("-value" if factor < 0 else f"{factor:g} * value", kinds, scope))
    kinds = tuple(kind for kind in kinds if kind in _GATED)
    numbers = ", ".join(f"[{factor if one in gates else 1:g}]" for one in GATES)
    scaled = f"(np.array([{numbers}], value.dtype) * value.reshape(4, -1)).reshape(value.shape)"
    return Remedy(build=_params(scaled, kinds, scope))


#: What undoes the order of the halves: in the columns of W_ih of the layer above, and in the output.
_JOINED = {
    "halves-swapped": (_HALVES, "output = np.roll(output, config.output_size, axis=-1)"),
    "halves-interleaved": (
        "value.reshape(-1, config.num_directions, config.output_size).swapaxes(1, 2).reshape(value.shape)",
        "alternating = output.reshape(*output.shape[:-1], -1, config.num_directions)\n"
        "output = alternating.swapaxes(-1, -2).reshape(output.shape)",
    ),
}


def of_halves(fault: str, scope: Scope) -> Remedy | None:
    """The halves of two directions put in order in the output, and for the layer above, which reads them too."""
    if fault not in _JOINED or scope not in ((), ("top-layer",), ("lower-layers",)):
        return None
    columns, output = _JOINED[fault]
    build = _params(columns, ("weight_ih",), ("upper-layers",))
    return Remedy(build="" if scope == ("top-layer",) else build, after="" if scope == ("lower-layers",) else output)
