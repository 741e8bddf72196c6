"""The fix as code: what makes up for an alteration, in the terms of the contract.

A remedy is code for one or more places. In ``build``, the parameters are read otherwise before the model is made of
them. In ``forward``, arguments are changed before the call, or results after it. Where nothing around an LSTM helps, it
is the right lines of its author's own loop (``own_code``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from textwrap import indent

from conformance.diagnosis.occasions import OCCASIONS
from conformance.diagnosis.own_code import ignored, own_code
from conformance.diagnosis.scopes import GATE_ROWS, PARAMS, PLACES, RESULTS, STATES, Scope
from conformance.facts import Alteration
from conformance.spec import GATES

#: The first line of each part of a remedy's text.
BUILD = "# in build, before the model is made:"
BEFORE = "# in forward, before the call:"
AFTER = "# in forward, after the call:"
OWN = "# in your own code"


@dataclass(frozen=True)
class Remedy:
    """Lines of Python by the place where they belong, empty where nothing is needed.

    ``build`` sees config and params; ``before`` sees config, x, state and lengths too, and ``after`` output, h_n and
    c_n besides, all in the caller's layout. Each changes them by assignment; np and reorder are imported.
    """

    build: str = ""
    before: str = ""
    after: str = ""
    #: Not to be added anywhere, but to stand in the author's own loop.
    own: str = ""
    #: The places of a stack in which ``own`` matters, in words.
    where: str = ""

    def __str__(self) -> str:
        own = f"{OWN}{f', {self.where}' if self.where else ''}:"
        parts = ((BUILD, self.build), (BEFORE, self.before), (AFTER, self.after), (own, self.own))
        return "\n".join(f"{title}\n{code}" for title, code in parts if code)


def remedy(alteration: Alteration) -> str:
    """Code that makes up for an alteration, each part under a comment that says where it belongs, or nothing."""
    return str(remedy_of(alteration))


def remedy_of(alteration: Alteration) -> Remedy:
    """The parts of a remedy, all empty if there is none."""
    fault, scope = alteration.fault, alteration.scope
    if occasions := [name for name in scope if name in OCCASIONS]:
        plain = Alteration(fault, tuple(name for name in scope if name not in OCCASIONS))
        return _on_occasion(remedy_of(plain), occasions)
    for around in (_of_params, _of_biases, _scaled, _of_state, _of_results, _of_calls, _of_halves):
        found = around(fault, scope)
        if found is not None:
            return found
    own = own_code(fault)
    return Remedy(own=own, where=_words(scope)) if own else Remedy()


def _on_occasion(whole: Remedy, names: list[str]) -> Remedy:
    """A remedy that is to be used with some options only; nothing for parameters that a call's arguments decide."""
    occasions = [OCCASIONS[name] for name in names]
    if whole.build and not all(one.of_config for one in occasions):
        return Remedy()
    # Conditions are told beforehand, since the code itself may change what they are about.
    test = " and ".join(one.code for one in occasions)
    own = replace(whole, where=", ".join(filter(None, [whole.where, " and ".join(names).replace("-", " ")])))
    if whole.own:
        return own
    built = f"if {test}:\n{indent(whole.build, '    ')}" if whole.build else ""
    before = f"so = {test}\nif so:\n{indent(whole.before, '    ')}" if whole.before else ""
    after = f"if {'so' if before else test}:\n{indent(whole.after, '    ')}" if whole.after else ""
    return Remedy(built, before, after)


def _words(scope: Scope) -> str:
    words = {name: name.replace("-", " ") for name in PLACES}
    words |= {"forward": "forward direction", "reverse": "reverse direction"}
    return ", ".join(words[name] for name in scope if name in PLACES)


# Parameters

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


def _of_params(fault: str, scope: Scope) -> Remedy | None:
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


def _of_biases(fault: str, scope: Scope) -> Remedy | None:
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


def _scaled(fault: str, scope: Scope) -> Remedy | None:
    """Parameters that count less, more or the other way are scaled; ignored ones must be read."""
    if not fault.startswith("parameters-"):
        return None
    kinds = tuple(name for name in PARAMS if name in scope) or PARAMS
    if fault not in _FACTORS:
        return Remedy(own=ignored(kinds), where=_words(scope))
    gates = "".join(name[-1] for name in scope if name in GATE_ROWS)
    factor = _FACTORS[fault]
    if not gates:
        return Remedy(build=_params("-value" if factor < 0 else f"{factor:g} * value", kinds, scope))
    kinds = tuple(kind for kind in kinds if kind in _GATED)
    numbers = ", ".join(f"[{factor if one in gates else 1:g}]" for one in GATES)
    scaled = f"(np.array([{numbers}], value.dtype) * value.reshape(4, -1)).reshape(value.shape)"
    return Remedy(build=_params(scaled, kinds, scope))


# States

_BY_LAYER = "v[np.arange(len(v)).reshape(config.num_layers, -1).T.ravel()]"
_BY_DIRECTION = "v[np.arange(len(v)).reshape(config.num_directions, -1).T.ravel()]"

#: What undoes the reading of each state by itself.
_STATES = {
    "state-direction-major": ("state is not None", _BY_LAYER),
    "state-slots-reversed": ("state is not None", "v[::-1].copy()"),
    "state-batch-first": ("state is not None and x.ndim == 3", "v.swapaxes(0, 1).reshape(v.shape)"),
}


def _of_state(fault: str, scope: Scope) -> Remedy | None:
    if fault == "initial-state-swapped":
        if scope:
            return Remedy(own=own_code("h-0-ignored"), where=_words(scope))
        code = "if state is not None and not config.proj_size:\n    state = state[1], state[0]"
        return Remedy(before=code)
    if fault not in _STATES:
        return None
    chosen = [name for name in STATES if name in scope]
    if any(name in PLACES for name in scope):
        return Remedy(own=own_code("h-0-ignored"), where=_words(scope))
    condition, expression = _STATES[fault]
    lines = f"state = tuple({expression} for v in state)"
    if len(chosen) == 1:
        v = chosen[0]
        lines = f"h_0, c_0 = state\n    {v} = {_on(v, expression)}"
        lines += "\n    state = h_0, c_0"
    return Remedy(before=f"if {condition}:\n    {lines}")


def _on(name: str, expression: str) -> str:
    """An expression of v, of an array of another name."""
    return re.sub(r"\bv\b", name, expression)


# Results

#: What undoes the writing of each result by itself: the results, and the expression.
_WRITINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "features-reversed": (("output",), "v[..., ::-1]"),
    "output-negated": (("output",), "-v"),
    "final-states-direction-major": (("h_n", "c_n"), _BY_DIRECTION),
    "h-n-layers-reversed": (("h_n",), "v[::-1]"),
    "c-n-directions-swapped": (("c_n",), "v[np.arange(len(v)) ^ (config.num_directions - 1)]"),
    "half-h-n-in-float32": (("h_n",), "v.astype(x.dtype)"),
    "answer-in-float64": (RESULTS, "v.astype(x.dtype)"),
}


def _of_results(fault: str, scope: Scope) -> Remedy | None:
    if fault == "final-states-swapped":
        if scope:
            return Remedy(own=own_code("h-n-zeros"), where=_words(scope))
        return Remedy(after="if not config.proj_size:\n    h_n, c_n = c_n, h_n")
    if fault in ("output-transposed-in-place", "output-directions-outside"):
        return Remedy() if scope and scope != ("output",) else Remedy(after=_time_major(_IN_MEMORY[fault]))
    if fault not in _WRITINGS:
        return None
    if any(name in PLACES for name in scope):
        return Remedy()
    names, expression = _WRITINGS[fault]
    chosen = [name for name in names if name in scope or not set(scope) & set(RESULTS)]
    return Remedy(after="\n".join(f"{name} = {_on(name, expression)}" for name in chosen))


_IN_MEMORY = {
    "output-transposed-in-place": "y = y.reshape(N, L, -1).swapaxes(0, 1)",
    "output-directions-outside": "y = y.reshape(L, config.num_directions, N, -1).swapaxes(1, 2).reshape(L, N, -1)",
}


def _time_major(line: str) -> str:
    """A line that changes an output y (L, N, D·P), in either layout of a batch."""
    return f"""if output.ndim == 3:
    y = output.swapaxes(0, 1) if config.batch_first else output
    L, N, _ = y.shape
    {line}
    output = y.swapaxes(0, 1) if config.batch_first else y"""


# Arguments and results together

_ONE_ROW = """unbatched = x.ndim == 2
if unbatched:
    x = x[None] if config.batch_first else x[:, None]
    state = None if state is None else (state[0][:, None], state[1][:, None])"""
_NO_ROW = """if unbatched:
    output, h_n, c_n = output[0] if config.batch_first else output[:, 0], h_n[:, 0], c_n[:, 0]"""
_SHAPED = "output = output.reshape(*x.shape[:-1], -1)"

_CALLS = {
    "time-reversed": Remedy(before="x = np.flip(x, axis=int(config.batch_first and x.ndim == 3)).copy()"),
    "batch-first-ignored": Remedy(
        before="if config.batch_first and x.ndim == 3:\n    x = x.swapaxes(0, 1)",
        after="if config.batch_first and output.ndim == 3:\n    output = output.swapaxes(0, 1)",
    ),
    "batch-first-reshaped": Remedy(
        before="if config.batch_first and x.ndim == 3:\n    x = x.swapaxes(0, 1).reshape(x.shape)"
    ),
    "batch-first-output-reshaped": Remedy(
        after="if config.batch_first and output.ndim == 3:\n"
        "    output = output.reshape(output.shape[1], output.shape[0], -1).swapaxes(0, 1)"
    ),
    "batch-first-unbatched-as-rows": Remedy(before=_ONE_ROW, after=_NO_ROW),
    "unbatched-as-rows": Remedy(before=_ONE_ROW, after=_NO_ROW),
    "unbatched-step-squeezed": Remedy(after=_SHAPED),
    "one-step-squeezed": Remedy(after=_SHAPED),
    "one-row-squeezed": Remedy(after=_SHAPED),
    "final-states-of-one-row-squeezed": Remedy(
        after="if x.ndim == 3 and h_n.ndim == 2:\n    h_n, c_n = h_n[:, None], c_n[:, None]"
    ),
    "output-cut-at-the-longest": Remedy(
        after="""if lengths is not None:
    missing = [(0, given - got) for given, got in zip(x.shape[:2], output.shape[:2])]
    output = np.pad(output, [*missing, (0, 0)])"""
    ),
}


def _of_calls(fault: str, scope: Scope) -> Remedy | None:
    return _CALLS.get(fault) if not scope else None


# The halves of two directions, which the layer above reads as well

_JOINED = {
    "halves-swapped": (_HALVES, "output = np.roll(output, config.output_size, axis=-1)"),
    "halves-interleaved": (
        "value.reshape(-1, config.num_directions, config.output_size).swapaxes(1, 2).reshape(value.shape)",
        "alternating = output.reshape(*output.shape[:-1], -1, config.num_directions)\n"
        "output = alternating.swapaxes(-1, -2).reshape(output.shape)",
    ),
}


def _of_halves(fault: str, scope: Scope) -> Remedy | None:
    if fault not in _JOINED or scope not in ((), ("top-layer",), ("lower-layers",)):
        return None
    columns, output = _JOINED[fault]
    build = _params(columns, ("weight_ih",), ("upper-layers",))
    return Remedy(build="" if scope == ("top-layer",) else build, after="" if scope == ("lower-layers",) else output)
