"""One correct LSTM in NumPy, made of pieces that can be exchanged one at a time: a fault is ``Twin(piece=…)``.

Every piece takes first the twin that it belongs to, and then where it is: a ``Place`` inside the stack, the config
around it. Only ``sigmoid``, ``tanh`` and ``dot`` are functions of arrays alone.

It computes in the config's own precision, sums of 16-bit numbers in float32, and shares no code with
``conformance/reference``, which judges it. Inside a call everything is canonical: x (L, N, I), h_0 (layers·D, N, P),
c_0 (layers·D, N, H), lengths (N,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.spec import Array, LSTMConfig, Params, Slot, State, layer_params, numpy_dtype, state_shapes

#: One layer and direction's parameters, by their names without the suffix.
Weights = Mapping[str, Array]
Forward = Callable[..., tuple[Array, State]]
Gates = tuple[Array, Array, Array, Array]
#: What a call is given: x, the initial state, the lengths.
Arguments = tuple[Array, State | None, Array | None]


class Place(NamedTuple):
    """Where in the model something happens; ``t`` counts the steps in reading order."""

    config: LSTMConfig
    layer: int
    direction: int
    #: L.
    steps: int
    t: int = 0

    @property
    def slot(self) -> int:
        """The index into the state's first axis."""
        return self.layer * self.config.num_directions + self.direction

    @property
    def last(self) -> bool:
        """Whether this is the top layer."""
        return self.layer == self.config.num_layers - 1


# One step. x_t (N, I), h (N, P), c (N, H), preactivations a (N, 4H)


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + e^−a)."""
    return 1 / (1 + np.exp(-a))


def summed_wide(dot: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """A product whose 16-bit factors are multiplied and summed in float32, and rounded once."""

    def product(x: Array, W: Array) -> Array:
        return dot(x.astype("float32"), W.astype("float32")).astype(x.dtype) if x.itemsize == 2 else dot(x, W)

    return product


@summed_wide
def dot(x: Array, W: Array) -> Array:
    """x (N, n) and W (m, n) -> x Wᵀ (N, m)."""
    return x @ W.T


def preactivations(twin: Twin, at: Place, w: Weights, x_t: Array, h: Array) -> Array:
    """a = W_ih x_t + b_ih + W_hh h_{t−1} + b_hh."""
    a = twin.dot(x_t, w["weight_ih"]) + twin.dot(h, w["weight_hh"])
    return a + w["bias_ih"] + w["bias_hh"] if "bias_ih" in w else a


def by_gate(a: Array) -> Gates:
    """The four blocks (N, H) of packed preactivations (N, 4H)."""
    H = a.shape[1] // 4
    return a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]


def gates(twin: Twin, at: Place, w: Weights, a: Array) -> Gates:
    """i, f, g, o = σ(a_i), σ(a_f), tanh(a_g), σ(a_o)."""
    # One call for all four blocks: three small ones take longer, and faults are elementwise.
    i, f, _, o = by_gate(twin.sigmoid(a))
    return i, f, twin.tanh(by_gate(a)[2]), o


def cell(twin: Twin, at: Place, i: Array, f: Array, g: Array, c: Array) -> Array:
    """c_t = f ⊙ c_{t−1} + i ⊙ g."""
    return f * c + i * g


def hidden(twin: Twin, at: Place, o: Array, c_t: Array) -> Array:
    """m_t = o ⊙ tanh(c_t)."""
    return o * twin.tanh(c_t)


def project(twin: Twin, at: Place, w: Weights, m: Array) -> Array:
    """h_t = W_hr m_t, or m_t itself."""
    return twin.dot(m, w["weight_hr"]) if "weight_hr" in w else m


def step(twin: Twin, at: Place, w: Weights, x_t: Array, h: Array, c: Array) -> State:
    """h_t, c_t."""
    i, f, g, o = twin.gates(twin, at, w, twin.preactivations(twin, at, w, x_t, h))
    c_t = twin.cell(twin, at, i, f, g, c)
    return twin.project(twin, at, w, twin.hidden(twin, at, o, c_t)), c_t


# One layer and direction


def flip(twin: Twin, at: Place, values: Array, lengths: Array) -> Array:
    """The order in which a direction reads ``values`` (L, N, …), and back: in reverse, each row's valid steps turn."""
    if not at.direction:
        return values
    turned = values.copy()
    for n, length in enumerate(lengths):
        turned[:length, n] = values[:length, n][::-1]
    return turned


def valid(twin: Twin, at: Place, lengths: Array) -> Array:
    """The rows (N, 1) that have not ended at step t."""
    return (at.t < lengths)[:, None]


def layer(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    """x (L, N, I), h (N, P), c (N, H) -> output (L, N, P), h_n, c_n."""
    outputs = []
    for t, x_t in enumerate(twin.flip(twin, at, x, lengths)):
        now = at._replace(t=t)
        h_t, c_t = twin.step(twin, now, w, x_t, h, c)
        on = twin.updates(twin, now, lengths)
        h, c = np.where(on, h_t, h), np.where(on, c_t, c)
        outputs.append(np.where(twin.shows(twin, now, lengths), h_t, h_t.dtype.type(0)))
    return twin.unflip(twin, at, np.stack(outputs), lengths), h, c


# The stack


def weights(twin: Twin, at: Place, params: Params) -> Weights:
    """The parameters of a layer and direction."""
    return layer_params(params, Slot(at.layer, at.direction))


def start(twin: Twin, at: Place, state: State) -> State:
    """The h_0 (N, P) and c_0 (N, H) of a layer and direction."""
    return state[0][at.slot], state[1][at.slot]


def feed(twin: Twin, at: Place, below: Array) -> Array:
    """The part of the sequence (L, N, features) from below that a layer and direction reads."""
    return below


def join(twin: Twin, at: Place, halves: list[Array], below: Array) -> Array:
    """The output of a layer (L, N, D·P) from its directions' outputs."""
    return np.concatenate(halves, axis=2)


def drop(twin: Twin, at: Place, below: Array) -> Array:
    """An output y (L, N, D·P) as the layer above gets it: in training 0 with probability p, and else y/(1 − p)."""
    p = at.config.dropout
    if not at.config.training or not p:
        return below
    kept = np.random.default_rng().random(below.shape) >= p
    return np.divide(below, 1 - p, out=np.zeros_like(below), where=kept)


def stack(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
    """All layers and directions."""
    sequence, h_n, c_n = x, [], []
    for k in range(config.num_layers):
        halves = []
        for direction in range(config.num_directions):
            at = Place(config, k, direction, len(x))
            w, below = twin.weights(twin, at, params), twin.feed(twin, at, sequence)
            half, h, c = twin.layer(twin, at, w, below, *twin.start(twin, at, state), lengths)
            halves.append(half)
            h_n.append(h)
            c_n.append(c)
        at = Place(config, k, 0, len(x))
        sequence = twin.join(twin, at, halves, sequence)
        sequence = sequence if at.last else twin.drop(twin, at, sequence)
    return Whole(sequence, np.stack(h_n), np.stack(c_n))


# The call


def accept(twin: Twin, config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
    """A call's arguments as they are, or ``ValueError``."""
    if x.ndim not in (2, 3) or x.shape[-1] != config.input_size or x.dtype != config.dtype:
        raise ValueError(f"x must be {config.dtype} with {config.input_size} features, got {x.dtype} {x.shape}")
    steps, *rows = x.shape[:-1] if not config.batch_first or x.ndim == 2 else x.shape[1::-1]
    if not steps:
        raise ValueError(f"x must be of one step or more, got {x.shape}")
    slots = config.num_layers * config.num_directions
    for name, part, width in zip(("h_0", "c_0"), state or (), (config.output_size, config.hidden_size), strict=False):
        if part.shape != (slots, *rows, width) or part.dtype != config.dtype:
            raise ValueError(f"{name} must be {config.dtype} {(slots, *rows, width)}, got {part.dtype} {part.shape}")
    if lengths is not None and (
        lengths.shape != (*rows,) or not all(rows) or not rows or lengths.min() < 1 or lengths.max() > steps
    ):
        raise ValueError(f"lengths must be one for each of the rows {rows}, 1 to {steps}, got {lengths}")
    return x, state, lengths


def fetch(twin: Twin, config: LSTMConfig, name: str, values: Array) -> Array:
    """A copy of an array that the caller handed over."""
    return np.array(values, order="C")


def enter(twin: Twin, config: LSTMConfig, x: Array, state: State | None) -> tuple[Array, State]:
    """x and the state in canonical layout, zeros where none is given."""
    if x.ndim == 2:
        x, state = x[:, None], None if state is None else (state[0][:, None], state[1][:, None])
    elif config.batch_first:
        x = x.swapaxes(0, 1)
    if state is None:
        h_0, c_0 = state_shapes(config, x.shape[1])
        state = np.zeros(h_0, x.dtype), np.zeros(c_0, x.dtype)
    return x, state


def leave(twin: Twin, config: LSTMConfig, result: Whole, unbatched: bool) -> tuple[Array, State]:
    """A canonical result in the caller's layout."""
    output, h_n, c_n = result
    if unbatched:
        return output[:, 0], (h_n[:, 0], c_n[:, 0])
    return output.swapaxes(0, 1) if config.batch_first else output, (h_n, c_n)


def precision(twin: Twin, config: LSTMConfig) -> str:
    """The dtype to compute in."""
    return config.dtype


def pack(twin: Twin, config: LSTMConfig, params: Params) -> Params:
    """The parameters as a model keeps them."""
    return params


def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    """The surroundings of a call."""
    return forward


_NO_TRANSFORM = Transform()


@dataclass(frozen=True)
class Twin:
    """The pieces of the LSTM; each may be exchanged for another of the same signature."""

    sigmoid: Callable[[Array], Array] = sigmoid
    tanh: Callable[[Array], Array] = np.tanh
    dot: Callable[[Array, Array], Array] = dot

    preactivations: Callable[[Twin, Place, Weights, Array, Array], Array] = preactivations
    gates: Callable[[Twin, Place, Weights, Array], Gates] = gates
    cell: Callable[[Twin, Place, Array, Array, Array, Array], Array] = cell
    hidden: Callable[[Twin, Place, Array, Array], Array] = hidden
    project: Callable[[Twin, Place, Weights, Array], Array] = project
    step: Callable[[Twin, Place, Weights, Array, Array, Array], State] = step

    flip: Callable[[Twin, Place, Array, Array], Array] = flip
    unflip: Callable[[Twin, Place, Array, Array], Array] = flip
    updates: Callable[[Twin, Place, Array], Array] = valid
    shows: Callable[[Twin, Place, Array], Array] = valid
    layer: Callable[[Twin, Place, Weights, Array, Array, Array, Array], tuple[Array, Array, Array]] = layer

    weights: Callable[[Twin, Place, Params], Weights] = weights
    start: Callable[[Twin, Place, State], State] = start
    feed: Callable[[Twin, Place, Array], Array] = feed
    join: Callable[[Twin, Place, list[Array], Array], Array] = join
    drop: Callable[[Twin, Place, Array], Array] = drop
    stack: Callable[[Twin, LSTMConfig, Params, Array, State, Array], Whole] = stack

    accept: Callable[[Twin, LSTMConfig, Array, State | None, Array | None], Arguments] = accept
    fetch: Callable[[Twin, LSTMConfig, str, Array], Array] = fetch
    enter: Callable[[Twin, LSTMConfig, Array, State | None], tuple[Array, State]] = enter
    leave: Callable[[Twin, LSTMConfig, Whole, bool], tuple[Array, State]] = leave
    precision: Callable[[Twin, LSTMConfig], str] = precision
    pack: Callable[[Twin, LSTMConfig, Params], Params] = pack
    around: Callable[[Twin, LSTMConfig, Params, Forward], Forward] = around

    transform: Transform = _NO_TRANSFORM
    #: What all models of a backend share: nothing, where it is correct.
    shared: dict[Any, Any] = field(default_factory=dict)

    def build(self, config: LSTMConfig, params: Params) -> Forward:
        """The backend's ``build``."""
        kept = self.pack(self, config, self.transform.params(config, params))

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            with np.errstate(all="ignore"):
                x, state, lengths = self.accept(self, config, x, state, lengths)
                result = self.stack(self, config, *self.entered(config, kept, x, state, lengths))
                return self.left(config, result, x.ndim == 2)

        return self.around(self, config, params, forward)

    def entered(
        self, config: LSTMConfig, params: Params, x: Array, state: State | None, lengths: Array | None
    ) -> tuple[Params, Array, State, Array]:
        """A call's accepted arguments as ``stack`` takes them: canonical, and in the precision to compute in."""
        dtype, convention = numpy_dtype(self.precision(self, config)), self.transform
        x = self.fetch(self, config, "x", x)
        if state is not None:
            state = self.fetch(self, config, "h_0", state[0]), self.fetch(self, config, "c_0", state[1])
        sequence, state = self.enter(self, config, x, state)
        sequence, (h_0, c_0) = convention.x(config, sequence), convention.state(config, state)
        row_lengths = np.full(sequence.shape[1], len(sequence)) if lengths is None else lengths
        return (
            {name: value.astype(dtype) for name, value in params.items()},
            sequence.astype(dtype),
            (h_0.astype(dtype), c_0.astype(dtype)),
            convention.lengths(config, row_lengths),
        )

    def left(self, config: LSTMConfig, result: Whole, unbatched: bool) -> tuple[Array, State]:
        """A call's result as the caller gets it, from what ``stack`` gave."""
        returned = Whole(*(part.astype(numpy_dtype(config.dtype)) for part in result))
        return self.leave(self, config, self.transform.result(config, returned), unbatched)
