"""Arguments changed before the call, and results after it.

Each function gives the remedy of some faults in a scope, an empty one if there is none, and ``None`` for other faults.
"""

from __future__ import annotations

import re

from conformance.diagnosis.own_code import own_code
from conformance.diagnosis.remedies.parts import Remedy, where
from conformance.diagnosis.scopes import PLACES, RESULTS, STATES, Scope

# States

_BY_LAYER = "v[np.arange(len(v)).reshape(config.num_layers, -1).T.ravel()]"
_BY_DIRECTION = "v[np.arange(len(v)).reshape(config.num_directions, -1).T.ravel()]"

#: What undoes the reading of each state by itself.
_STATES = {
    "state-direction-major": ("state is not None", _BY_LAYER),
    "state-slots-reversed": ("state is not None", "v[::-1].copy()"),
    "state-batch-first": ("state is not None and x.ndim == 3", "v.swapaxes(0, 1).reshape(v.shape)"),
}


def of_state(fault: str, scope: Scope) -> Remedy | None:
    """The initial state handed over as the LSTM reads it."""
    if fault == "initial-state-swapped":
        if scope:
            return Remedy(own=own_code("h-0-ignored"), where=where(scope))
        code = "if state is not None and not config.proj_size:\n    state = state[1], state[0]"
        return Remedy(before=code)
    if fault not in _STATES:
        return None
    chosen = [name for name in STATES if name in scope]
    if any(name in PLACES for name in scope):
        return Remedy(own=own_code("h-0-ignored"), where=where(scope))
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


def of_results(fault: str, scope: Scope) -> Remedy | None:
    """Each result put right by itself."""
    if fault == "final-states-swapped":
        if scope:
            return Remedy(own=own_code("h-n-zeros"), where=where(scope))
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


def of_calls(fault: str, scope: Scope) -> Remedy | None:
    """The layout of arguments and results; everywhere only."""
    return _CALLS.get(fault) if not scope else None
