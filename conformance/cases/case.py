"""A case: the concrete arrays made from a recipe, and how they are handed to a backend.

A case keeps its arrays in one canonical layout (time-major, batched, C-contiguous); ``handed`` gives a call's fresh
arrays in the layout and memory order that the case asks for, and ``canonical`` brings a result back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.cases.fills import fill, pick, stream
from conformance.cases.recipe import Recipe
from conformance.errors import UsageError
from conformance.spec import Array, LSTMConfig, Params, Result, State, param_shapes, state_shapes

#: Cases with a size beyond this are large.
_LARGE = 33


@dataclass(frozen=True, eq=False)
class Case:
    """One model and one call: config, params, x (L, N, I), state (h_0, c_0) or None, lengths (N,) or None."""

    config: LSTMConfig
    params: Params
    x: Array
    state: State | None = None
    lengths: Array | None = None
    unbatched: bool = False
    view: str = "plain"
    #: What the bound may assume of the data: "iid" (straight from the generator), "any", or "exact" (dyadic).
    rule: str = "any"
    #: The model is baked into the backend: its layers cannot be run apart.
    fixed: bool = False

    @property
    def steps(self) -> int:
        """L."""
        return self.x.shape[0]

    @property
    def batch(self) -> int:
        """N."""
        return self.x.shape[1]

    def initial(self) -> State:
        """The initial state, zeros where none is given."""
        if self.state is not None:
            return self.state
        h_shape, c_shape = state_shapes(self.config, self.batch)
        return np.zeros(h_shape, self.x.dtype), np.zeros(c_shape, self.x.dtype)

    def row_lengths(self) -> Array:
        """Each row's length, L where none is given."""
        return np.full(self.batch, self.steps) if self.lengths is None else self.lengths

    def prefix(self, layers: int) -> Case:
        """The same call of a model of the first ``layers`` layers."""
        if layers == self.config.num_layers:
            return self
        config = replace(self.config, num_layers=layers)
        slots = layers * config.num_directions
        state = None if self.state is None else (self.state[0][:slots], self.state[1][:slots])
        params = {name: self.params[name] for name in param_shapes(config)}
        return replace(self, config=config, params=params, state=state)

    def describe(self) -> str:
        """The model and the sizes in a person's words: ``LSTM(3→5, layers=2, bidirectional) L=4 N=2``."""
        config = self.config
        words = [f"{config.input_size}→{config.hidden_size}"]
        words += [f"layers={config.num_layers}"] if config.num_layers > 1 else []
        words += ["bidirectional"] if config.bidirectional else []
        words += [f"proj_size={config.proj_size}"] if config.proj_size else []
        words += [] if config.bias else ["no bias"]
        words += ["batch_first"] if config.batch_first else []
        words += [f"dropout={config.dropout:g}"] if config.dropout else []
        words += ["training"] if config.training else []
        words += [config.dtype] if config.dtype != "float32" else []
        text = f"LSTM({', '.join(words)}) L={self.steps} {'unbatched' if self.unbatched else f'N={self.batch}'}"
        if self.state is not None:
            given = [name for name, value in zip(("h_0", "c_0"), self.state, strict=True) if value.any()]
            text += f", {' and '.join(given) or 'zero state'} given"
        if self.lengths is not None:
            few = len(self.lengths) <= 12
            text += f", lengths {self.lengths.tolist() if few else f'{self.lengths.min()} to {self.lengths.max()}'}"
        if self.view != "plain":
            text += f", {self.view} input"
        nonzero = sum(int(np.count_nonzero(value)) for value in self.params.values())
        return text + (f", {nonzero or 'no'} weight{'s' if nonzero > 1 else ''} nonzero" if nonzero <= 3 else "")


def realise(recipe: Recipe, fixed: tuple[LSTMConfig, Params] | None = None) -> Case:
    """The case of a recipe, always the same one. A ``fixed`` model keeps its own config and params."""
    config = recipe.config if fixed is None else fixed[0]
    params, x, h_0, c_0 = fill(recipe, config)
    if fixed is not None:
        params = dict(fixed[1])
    states: dict[str, State | None] = {
        "none": None,
        "both": (h_0, c_0),
        "h": (h_0, np.zeros_like(c_0)),
        "c": (np.zeros_like(h_0), c_0),
    }
    lengths = _lengths(recipe) if recipe.ragged else None
    random = recipe.fill in ("normal", "large-cell") and not recipe.edits and fixed is None
    rule = "iid" if random else "any"
    case = Case(
        config, params, x, states[recipe.state], lengths, recipe.unbatched, recipe.view, rule, fixed is not None
    )
    for edit in recipe.edits:
        case = apply(case, edit)
    return case


def _lengths(recipe: Recipe) -> Array:
    """Each row's length, int64 (N,): in two of nine cases uniform, else of a kind that lengths are got wrong on.

    Some row is short, wherever there are two steps: full lengths alone show nothing of them. In large cases, of which
    there are few, some row is full as well: where all are short, what is wrong far out stays in the padding.
    """
    L, last = recipe.L, np.arange(recipe.N) == recipe.N - 1
    uniform = (stream(recipe.seed, "lengths", recipe.N) % np.uint64(L)).astype(np.int64) + 1
    short = np.minimum(uniform, max(L - 1, 1))
    kinds = (
        *(uniform, uniform),
        np.sort(uniform),
        np.sort(uniform)[::-1].copy(),
        np.full(recipe.N, short[0]),
        short,
        np.where(last, short, L),
        np.where(last, L, short),
        np.where(uniform > L / 2, L, 1),
    )
    lengths = kinds[pick(recipe.seed, "kind of lengths", len(kinds))]
    if lengths.min() == L:
        lengths = short
    large = max(recipe.I, recipe.H, L, recipe.N) > _LARGE
    if large and recipe.N > 1 and lengths.max() < L:
        lengths[pick(recipe.seed, "full row", recipe.N)] = L
    return lengths


def handed(case: Case) -> tuple[Array, State | None, Array | None]:
    """Fresh arrays of one call: x and state in the config's layout and the case's memory order, lengths."""
    x = case.x
    if case.unbatched:
        x = x[:, 0]
    elif case.config.batch_first:
        x = x.swapaxes(0, 1)
    state = case.state
    if state is not None and case.unbatched:
        state = state[0][:, 0], state[1][:, 0]
    if state is not None:
        state = arrange(state[0], case.view), arrange(state[1], case.view)
    return arrange(x, case.view), state, None if case.lengths is None else case.lengths.copy()


def arrange(values: Array, view: str) -> Array:
    """A fresh array of equal values that lies in memory as ``view`` says; what it skips over holds large numbers."""
    if view == "transposed":
        return np.array(values.swapaxes(0, 1), order="C").swapaxes(0, 1)
    if view == "fortran":
        return np.array(values, order="F")
    if view == "strided":
        wide = np.full((*values.shape[:-1], 2 * values.shape[-1]), 1e4, values.dtype)
        wide[..., ::2] = values
        return wide[..., ::2]
    if view == "gapped":
        wide = np.full((*(2 * size for size in values.shape[:-1]), values.shape[-1]), 1e4, values.dtype)
        every_other = (slice(None, None, 2),) * (values.ndim - 1)
        wide[every_other] = values
        return wide[every_other]
    if view == "offset":
        # By a single element: aligned to the dtype, and to no vector register.
        longer = np.full(values.size + 2, 1e4, values.dtype)
        longer[1:-1] = values.ravel()
        return longer[1:-1].reshape(values.shape)
    if view == "negative":
        turned = np.array(values[::-1], order="C")
        return turned[::-1] if len(turned) > 1 else turned
    fresh = np.array(values, order="C")
    fresh.flags.writeable = view != "readonly"
    return fresh


def canonical(case: Case, result: Result) -> Result:
    """A result of ``case`` in canonical layout: output (L, N, D·P), h_n and c_n with their batch axis."""
    output, h_n, c_n = result
    if case.unbatched:
        return Result(*(None if part is None else part[:, None] for part in (output, h_n, c_n)))
    if case.config.batch_first and output is not None:
        output = output.swapaxes(0, 1)
    return Result(output, h_n, c_n)


# Edits: what the simplifier takes away, one text each. -t3, -n0, -i1, -u2 delete a time step, row, feature, hidden
# unit; 0:x zeroes a tensor, 0:x[2:4] a range of its elements, 0:x[2] one; 1:… makes them ±1, r:… rounds them.


def tensors(case: Case) -> dict[str, Array]:
    """Everything an edit can change by name."""
    found = {**case.params, "x": case.x}
    if case.state is not None:
        found |= {"h_0": case.state[0], "c_0": case.state[1]}
    return found


def apply(case: Case, edit: str) -> Case:
    """The case after one edit; ``UsageError`` if it does not fit."""
    if not re.fullmatch(r"-[tniu]\d+|[01r]:\w+(\[\d+(:\d+)?\])?", edit):
        raise UsageError(f"recipe edit {edit!r} is not known", "edits are like -t0, -u2, 0:x, 1:x[3], r:c_0[0:4]")
    try:
        if edit[0] == "-":
            return _delete(case, edit[1], int(edit[2:]))
        how, _, place = edit.partition(":")
        name, _, span = place.rstrip("]").partition("[")
        first, _, last = span.partition(":")
        whole = slice(None) if not span else slice(int(first), int(last or first) + (not last))
        return _set(case, how, name, whole)
    except (KeyError, ValueError, IndexError) as error:
        raise UsageError(f"recipe edit {edit!r} does not fit its case ({error})") from error


def _set(case: Case, how: str, name: str, span: slice) -> Case:
    values = tensors(case)[name].copy()
    flat: Array = values.reshape(-1)
    changes: dict[str, Any] = {"0": lambda v: 0 * v, "1": np.sign, "r": np.rint}
    flat[span] = changes[how](flat[span])
    if name == "x":
        return replace(case, x=values)
    if name in ("h_0", "c_0"):
        assert case.state is not None
        return replace(case, state=(values, case.state[1]) if name == "h_0" else (case.state[0], values))
    return replace(case, params={**case.params, name: values})


def _delete(case: Case, what: str, index: int) -> Case:
    config, state, lengths = case.config, case.state, case.lengths
    if what == "t":
        lengths = None if lengths is None else np.minimum(lengths, case.steps - 1)
        return replace(case, x=np.delete(case.x, index, axis=0), lengths=lengths)
    if what == "n":
        state = None if state is None else (np.delete(state[0], index, axis=1), np.delete(state[1], index, axis=1))
        lengths = None if lengths is None else np.delete(lengths, index)
        return replace(case, x=np.delete(case.x, index, axis=1), state=state, lengths=lengths)
    if what == "i":
        config = replace(config, input_size=config.input_size - 1)
        params = {
            name: np.delete(value, index, axis=1) if name.startswith("weight_ih_l0") else value
            for name, value in case.params.items()
        }
        return replace(case, config=config, params=params, x=np.delete(case.x, index, axis=2))
    H, D = config.hidden_size, config.num_directions
    smaller = replace(config, hidden_size=H - 1)
    params = {}
    for name, value in case.params.items():
        if name.startswith("weight_hr"):
            params[name] = np.delete(value, index, axis=1)
            continue
        value = np.delete(value, [gate * H + index for gate in range(4)], axis=0)
        if not config.proj_size and name.startswith("weight_hh"):
            value = np.delete(value, index, axis=1)
        elif not config.proj_size and name.startswith("weight_ih") and not name.startswith("weight_ih_l0"):
            value = np.delete(value, [direction * H + index for direction in range(D)], axis=1)
        params[name] = np.ascontiguousarray(value)
    if state is not None:
        h_0 = state[0] if config.proj_size else np.delete(state[0], index, axis=2)
        state = h_0, np.delete(state[1], index, axis=2)
    return replace(case, config=smaller, params=params, state=state)
