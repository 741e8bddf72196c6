"""A case: the concrete arrays made from a recipe, and how they are handed to a backend.

A case keeps its arrays in one canonical layout (time-major, batched, C-contiguous); ``handed`` gives a call's fresh
arrays in the layout and memory order that the case asks for, and ``canonical`` brings a result back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance.cases.edits import apply
from conformance.cases.fills import fill, pick, stream
from conformance.cases.recipe import Recipe
from conformance.errors import SuiteError
from conformance.reference.forward import leave, valid_steps
from conformance.spec import Array, LSTMConfig, Params, Result, State, param_shapes, state_shapes

#: Cases with a size beyond this are large.
_LARGE = 33


@dataclass(frozen=True, eq=False)
class Case:
    """One model and one call: config, params, x (L, N, I), state (h_0, c_0) or None, lengths (N,) or None.

    Raises ``SuiteError`` if an array has another shape than the config asks for: a check that mixes the arrays of two
    models has a defect of its own, and must not accuse the backend. Arguments that are wrong on purpose are handed to
    a call beside its case.
    """

    config: LSTMConfig
    params: Params
    x: Array
    state: State | None = None
    lengths: Array | None = None
    unbatched: bool = False
    view: str = "plain"
    #: What the bound may assume of the data: "iid" (straight from the generator), "any", or "exact" (dyadic numbers).
    rule: str = "any"
    #: The model is baked into the backend: its layers cannot be run apart.
    fixed: bool = False

    def __post_init__(self) -> None:
        if (shapes := {name: value.shape for name, value in self.params.items()}) != param_shapes(self.config):
            raise SuiteError(f"a case has parameters {shapes}, and its config {self.config} asks for others")
        if self.x.ndim != 3 or self.x.shape[2] != self.config.input_size:
            raise SuiteError(f"a case has x {self.x.shape}, and its config {self.config} asks for another")
        if self.state is not None:
            given = tuple(part.shape for part in self.state)
            if given != state_shapes(self.config, self.batch):
                raise SuiteError(f"a case has states {given} for {self.batch} rows and {self.config}")
        if self.lengths is not None and self.lengths.shape != (self.batch,):
            raise SuiteError(f"a case has lengths {self.lengths.shape} for {self.batch} rows")

    @property
    def steps(self) -> int:
        """L."""
        return self.x.shape[0]

    @property
    def batch(self) -> int:
        """N."""
        return self.x.shape[1]

    @property
    def valid(self) -> Array:
        """Whether each step is within its row's length, (L, N, 1): a mask that stands beside features."""
        return valid_steps(self.steps, self.row_lengths())

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
        slots = slice(len(config.slots()))
        state = None if self.state is None else (self.state[0][slots], self.state[1][slots])
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
        return text + self._weights()

    def _weights(self) -> str:
        """Which weights are not zero, if they are few."""
        if sum(int(np.count_nonzero(value)) for value in self.params.values()) > 3:
            return ""
        left = [
            f"{name}[{', '.join(map(str, at))}]={float(value[tuple(at)]):.3g}"
            for name, value in self.params.items()
            for at in np.argwhere(value).tolist()
        ]
        return f", all weights 0{' but ' if left else ''}{', '.join(left)}"


def tensors(case: Case) -> dict[str, Array]:
    """The parameters, x, and h_0 and c_0 if they are given, by name: all that an edit can change."""
    state = {} if case.state is None else {"h_0": case.state[0], "c_0": case.state[1]}
    return {**case.params, "x": case.x, **state}


def realise(recipe: Recipe, fixed: tuple[LSTMConfig, Params] | None = None) -> Case:
    """The case of a recipe, always the same one; ``UsageError`` if an edit does not fit.

    A ``fixed`` model keeps its own config and params.
    """
    config = recipe.config if fixed is None else fixed[0]
    values = fill(recipe, config)
    if fixed is not None:
        values = {**fixed[1], **{name: values[name] for name in ("x", "h_0", "c_0")}}
    for name in ("h_0", "c_0"):
        if recipe.state == "none":
            del values[name]
        elif recipe.state not in ("both", name[0]):
            values[name] = np.zeros_like(values[name])
    lengths = _lengths(recipe) if recipe.ragged else None
    for edit in recipe.edits:
        config, values, lengths = apply(edit, config, values, lengths)
    x = values.pop("x")
    state = None if recipe.state == "none" else (values.pop("h_0"), values.pop("c_0"))
    random = recipe.fill in ("normal", "large-cell") and not recipe.edits and fixed is None
    rule = "iid" if random else "any"
    return Case(config, values, x, state, lengths, recipe.unbatched, recipe.view, rule, fixed is not None)


def _lengths(recipe: Recipe) -> Array:
    """Each row's length, int64 (N,): in two of nine cases uniform, else of a kind that is often got wrong.

    Some row is short, wherever there are two steps: full lengths alone show nothing of them. In large cases, of which
    there are few, some row is full as well: where all are short, a defect at late steps stays in the padding.
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
    x, state = leave(case.config, case.x, case.unbatched), case.state
    if state is not None:
        h_0, c_0 = (arrange(part[:, 0] if case.unbatched else part, case.view) for part in state)
        state = h_0, c_0
    return arrange(x, case.view), state, None if case.lengths is None else case.lengths.copy()


def arrange(values: Array, view: str) -> Array:
    """A fresh array of equal values that lies in memory as ``view`` says; gaps hold large numbers."""
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
