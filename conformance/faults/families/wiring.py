"""Families of wiring: which slot's weights and state, whose sequence, which row's and which step's values are used.

A stack hands arrays from hand to hand. Each hand may take the neighbour's: that of the other direction, of the layer
below, of the first row, of the first step, or of the array that another one shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.conventions.layouts import states
from conformance.conventions.parameters import each, renamed
from conformance.faults import twin as correct
from conformance.faults.alter import given, made
from conformance.faults.fault import FINAL, GATES, LAYOUT, REVERSE, STACK, STATE, Fault
from conformance.faults.structure import turned
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import GATES as PACKED
from conformance.spec import Array, LSTMConfig, Params, State

Layer = tuple[Array, Array, Array]

#: The first words of the ids of those that copy a gate's rows: only in a tensor, or in all, are they simple.
COPIED_ROWS = "rows-of-gate-"

#: Those of whole slots, which go wrong in several tensors at once.
OTHER_WEIGHTS = "weights-of-"


def families() -> Iterator[Fault]:
    """All of them, the simplest first."""
    yield from _slots()
    yield from _rows()
    yield from _steps()
    yield from _stacks()
    yield from _results()
    yield from _gate_rows()


# Weights and states of another slot


def _other_direction(name: str) -> str:
    return name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"


def _layer_below(name: str) -> str:
    kind, _, place = name.rpartition("_l")
    layer, *rest = place.split("_")
    return "_".join([f"{kind}_l{max(0, int(layer) - 1)}", *rest])


def _first_layer(name: str) -> str:
    kind, _, place = name.rpartition("_l")
    return "_".join([f"{kind}_l0", *place.split("_")[1:]])


def _second_layer(name: str) -> str:
    kind, _, place = name.rpartition("_l")
    layer, *rest = place.split("_")
    return "_".join([f"{kind}_l{min(1, int(layer))}", *rest])


def _c_0_as_h_0(config: LSTMConfig, state: State) -> State:
    h_0, c_0 = state
    return (c_0, 0 * c_0) if h_0.shape == c_0.shape else state


def _h_0_as_c_0(config: LSTMConfig, state: State) -> State:
    h_0, c_0 = state
    return (0 * h_0, h_0) if h_0.shape == c_0.shape else state


def _across_directions(config: LSTMConfig, value: Array) -> Array:
    return value[np.arange(len(value)) ^ (config.num_directions - 1)]


def _of_layer_below(config: LSTMConfig, value: Array) -> Array:
    return value[
        np.maximum(np.arange(len(value)) - config.num_directions, np.arange(len(value)) % config.num_directions)
    ]


def _rows_before_directions(config: LSTMConfig, value: Array) -> Array:
    rows, width = value.shape[1:]
    of_layers = value.reshape(config.num_layers, rows, config.num_directions, width)
    return of_layers.swapaxes(1, 2).reshape(value.shape)


def _slots() -> Iterator[Fault]:
    weights = {
        "weights-of-other-direction": ("Each direction uses the other's parameters.", "bidirectional", REVERSE,
            _other_direction),
        "weights-of-layer-below": ("Each layer uses the parameters of the layer below, where they fit.", "layers > 1",
            STACK, _layer_below),
        "weights-of-first-layer": ("All layers use the first layer's parameters, where they fit.", "layers > 1", STACK,
            _first_layer),
        "weights-of-second-layer": ("All layers above the second use the second's parameters.", "layers > 2", STACK,
            _second_layer),
    }  # fmt: skip
    for id, (words, when, kind, other) in weights.items():
        yield Fault(id, words, "", when, kind, Twin(transform=renamed(other)))
    moved = {
        "c-0-as-h-0": ("c_0 is taken for h_0, and the cell starts from zeros.", _c_0_as_h_0),
        "h-0-as-c-0": ("h_0 is taken for c_0, and h starts from zeros.", _h_0_as_c_0),
    }
    for id, (words, state) in moved.items():
        yield Fault(id, words, "", "state given", STATE, Twin(transform=Transform(state=state)))
    slots = {
        "initial-state-ignored": ("The initial state is ignored.", "state given", lambda config, value: 0 * value),
        "state-of-other-direction": ("Each direction starts from the other's state.", "bidirectional, state given",
            _across_directions),
        "state-of-layer-below": ("Each layer starts from the initial state of the layer below.",
            "layers > 1, state given", _of_layer_below),
        "state-rows-before-directions": ("A layer's initial states are read as [N, directions, width].",
            "bidirectional, N > 1, state given", _rows_before_directions),
        "state-of-row-before": ("Each row starts from the state of the row before.", "N > 1, state given",
            lambda config, value: np.roll(value, 1, axis=1)),
    }  # fmt: skip
    for id, (words, when, change) in slots.items():
        yield Fault(id, words, "", when, STATE, Twin(transform=states(change)))


# Rows


def _rows() -> Iterator[Fault]:
    def first(v: Array) -> Array:
        return np.broadcast_to(v[:1], v.shape)

    yield Fault("first-row-h-for-all", "Every row recurs on the first row's h.", "", "N > 1", LAYOUT,
        given("step", lambda at, w, x, h, c: (w, x, first(h), c)))  # fmt: skip
    yield Fault("first-row-c-for-all", "Every row goes on from the first row's cell.", "", "N > 1", LAYOUT,
        given("step", lambda at, w, x, h, c: (w, x, h, first(c))))  # fmt: skip
    yield Fault("first-row-x-for-all", "Every row reads the first row's input.", "", "N > 1", LAYOUT,
        given("step", lambda at, w, x, h, c: (w, first(x), h, c)))  # fmt: skip
    yield Fault("rows-run-on", "Each row goes on from the state that the row before has left.", "", "N > 1", LAYOUT,
        Twin(layer=_rows_run_on))  # fmt: skip


def _rows_run_on(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    made, h, c = list[Layer](), h[:1], c[:1]
    for n in range(x.shape[1]):
        one = slice(n, n + 1)
        output, h, c = correct.layer(twin, at, w, x[:, one], h, c, lengths[one])
        made.append((output, h, c))
    outputs, hs, cs = zip(*made, strict=True)
    return np.concatenate(outputs, axis=1), np.concatenate(hs), np.concatenate(cs)


# Steps

#: What a step leaves, from the initial state, what it read and what it computed: h, c, and what the output shows.
Kept = Callable[[Array, Array, Array, Array, Array, Array], tuple[Array, Array, Array]]


def _loop(kept: Kept, mixed: bool = True) -> Twin:
    """A layer whose loop keeps or shows another array; where h and c are ``mixed`` and differ in size, it is right."""

    def layer(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
        if mixed and h.shape != c.shape:
            return correct.layer(twin, at, w, x, h, c, lengths)
        outputs, (h_0, c_0) = [], (h, c)
        for t, x_t in enumerate(twin.flip(twin, at, x, lengths)):
            now = at._replace(t=t)
            h_t, c_t = twin.step(twin, now, w, x_t, h, c)
            on = twin.updates(twin, now, lengths)
            left_h, left_c, shown = kept(h_0, c_0, h, c, h_t, c_t)
            h, c = np.where(on, left_h, h), np.where(on, left_c, c)
            outputs.append(np.where(twin.shows(twin, now, lengths), shown, shown.dtype.type(0)))
        return twin.unflip(twin, at, np.stack(outputs), lengths), h, c

    return Twin(layer=layer)


def _steps() -> Iterator[Fault]:
    kept: dict[str, tuple[str, str, Kept]] = {
        "hidden-never-updated": ("Every step reads the initial h.", "L > 1",
            lambda h_0, c_0, h, c, h_t, c_t: (h_0, c_t, h_t)),
        "cell-never-updated": ("Every step reads the initial c.", "L > 1",
            lambda h_0, c_0, h, c, h_t, c_t: (h_t, c_0, h_t)),
        "state-is-h-twice": ("h and c share an array, which holds h after each step.", "always",
            lambda h_0, c_0, h, c, h_t, c_t: (h_t, h_t, h_t)),
        "state-is-c-twice": ("h and c share an array, which holds c after each step.", "always",
            lambda h_0, c_0, h, c, h_t, c_t: (c_t, c_t, h_t)),
        "output-shows-cell": ("A layer gives out c_t instead of h_t.", "always",
            lambda h_0, c_0, h, c, h_t, c_t: (h_t, c_t, c_t)),
    }  # fmt: skip
    for id, (words, when, function) in kept.items():
        yield Fault(id, words, "", when, LAYOUT, _loop(function, not id.endswith("-never-updated")))
    yield Fault("hidden-updated-in-place", "A unit's recurrent product reads the new h of the units before it.", "",
        "H > 1", LAYOUT, Twin(step=_in_place))  # fmt: skip
    yield Fault("reverse-output-rows-flipped", "The reverse half of the output is turned back along the rows.", "",
        "bidirectional, N > 1", REVERSE, Twin(unflip=turned(lambda at, v: v[:, ::-1])))  # fmt: skip


def _in_place(twin: Twin, at: Place, w: Weights, x_t: Array, h: Array, c: Array) -> State:
    H = c.shape[1]
    if "weight_hr" in w:
        return correct.step(twin, at, w, x_t, h, c)
    h, c_t = h.copy(), c.copy()
    for unit in range(H):
        rows = {name: value[unit::H] for name, value in w.items()}
        i, f, g, o = twin.gates(twin, at, rows, twin.preactivations(twin, at, rows, x_t, h))
        one = slice(unit, unit + 1)
        c_t[:, one] = twin.cell(twin, at, i, f, g, c[:, one])
        h[:, one] = twin.hidden(twin, at, o, c_t[:, one])
    return h, c_t


# Stacks

#: The initial state of a slot from its own and the final states so far.
Begin = Callable[[Place, State, Sequence[State]], State]
#: What a layer reads: a sequence of x and the outputs of the layers below.
Reads = Callable[[Place, Sequence[Array]], Array]


def _own(at: Place, own: State, finals: Sequence[State]) -> State:
    return own


def _below(at: Place, sequences: Sequence[Array]) -> Array:
    return sequences[-1]


def _x_where_it_fits(at: Place, sequences: Sequence[Array]) -> Array:
    return sequences[0] if sequences[0].shape == sequences[-1].shape else sequences[-1]


def _stack(begin: Begin = _own, reads: Reads = _below, runs: Callable[[Place], bool] = lambda at: True) -> Twin:
    """The loop over the layers with another start, another input, or layers that are not run."""

    def stack(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
        sequences, finals = [x], list[State]()
        for k in range(config.num_layers):
            halves = []
            at = Place(config, k, 0, len(x))
            for direction in range(config.num_directions):
                here = at._replace(direction=direction)
                own = twin.start(twin, here, state)
                if not runs(at):
                    finals.append(own)
                    continue
                w, below = twin.weights(twin, here, params), twin.feed(twin, here, reads(here, sequences))
                half, h, c = twin.layer(twin, here, w, below, *begin(here, own, finals), lengths)
                halves.append(half)
                finals.append((h, c))
            if halves:
                joined = twin.join(twin, at, halves, sequences[-1])
                sequences.append(joined if at.last else twin.drop(twin, at, joined))
        return Whole(sequences[-1], np.stack([h for h, _ in finals]), np.stack([c for _, c in finals]))

    return Twin(stack=stack)


def _one_state(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
    """All layers take a step before time goes on, and read and leave one and the same state."""
    if config.bidirectional:
        return correct.stack(twin, config, params, x, state, lengths)
    outputs, (h, c) = [], twin.start(twin, Place(config, 0, 0, len(x)), state)
    for t, below in enumerate(x):
        on = (t < lengths)[:, None]
        for k in range(config.num_layers):
            at = Place(config, k, 0, len(x), t)
            h_t, c_t = twin.step(twin, at, twin.weights(twin, at, params), below, h, c)
            h, c, below = np.where(on, h_t, h), np.where(on, c_t, c), h_t
        outputs.append(np.where(on, below, below.dtype.type(0)))
    return Whole(np.stack(outputs), np.stack([h] * config.num_layers), np.stack([c] * config.num_layers))


def _stacks() -> Iterator[Fault]:
    def on_from_below(at: Place, own: State, finals: Sequence[State]) -> State:
        return finals[-at.config.num_directions] if at.layer else own

    def on_from_forward(at: Place, own: State, finals: Sequence[State]) -> State:
        return finals[-1] if at.direction else own

    stacks = {
        "upper-layers-run-on": ("Each layer goes on from the final state of the layer below.", "layers > 1",
            _stack(begin=on_from_below)),
        "reverse-runs-on": ("The reverse direction goes on from the forward direction's final state.", "bidirectional",
            _stack(begin=on_from_forward)),
        "one-state-for-all-layers": ("All layers share one running state.", "layers > 1", Twin(stack=_one_state)),
        "top-layer-not-run": ("The top layer is not run.", "layers > 1",
            _stack(runs=lambda at: not at.last or not at.layer)),
        "layers-read-two-below": ("Layers above the second read the output of the layer two below.", "layers > 2",
            _stack(reads=lambda at, sequences: sequences[-2] if at.layer > 1 else sequences[-1])),
        "upper-layers-read-x": ("Upper layers read x in place of the layer below, where it fits.",
            "layers > 1, I = D·P", _stack(reads=_x_where_it_fits)),
        "upper-layers-read-first-step": ("Upper layers read the first step of the layer below at every step.",
            "layers > 1, L > 1", made("feed", lambda at, v: np.repeat(v[:1], len(v), axis=0) if at.layer else v)),
        "upper-layers-read-last-step": ("Upper layers read the last step of the layer below at every step.",
            "layers > 1, L > 1", made("feed", lambda at, v: np.repeat(v[-1:], len(v), axis=0) if at.layer else v)),
    }  # fmt: skip
    for id, (words, when, twin) in stacks.items():
        yield Fault(id, words, "", when, STACK, twin)


# Results


def _output_time_major(twin: Twin, config: LSTMConfig, result: Whole, unbatched: bool) -> tuple[Array, State]:
    output, states = correct.leave(twin, config, result, unbatched)
    return (output.swapaxes(0, 1) if config.batch_first and not unbatched else output), states


def _results() -> Iterator[Fault]:
    made: dict[str, tuple[str, str, Callable[[LSTMConfig, Whole], Whole]]] = {
        "final-states-zeros": ("h_n and c_n are zeros.", "always",
            lambda config, r: r._replace(h_n=0 * r.h_n, c_n=0 * r.c_n)),
        "c-n-is-h-n-of-its-width": ("c_n is h_n, with a projection too.", "always",
            lambda config, r: r._replace(c_n=r.h_n)),
        "output-of-first-step-only": ("The output has only the first step.", "L > 1",
            lambda config, r: r._replace(output=r.output[:1])),
        "output-of-last-step-only": ("The output has only the last step.", "L > 1",
            lambda config, r: r._replace(output=r.output[-1:])),
        "output-of-forward-only": ("The output has only the forward half.", "bidirectional",
            lambda config, r: r._replace(output=r.output[..., : config.output_size])),
    }  # fmt: skip
    for id, (words, when, result) in made.items():
        yield Fault(id, words, "", when, FINAL, Twin(transform=Transform(result=result)))
    yield Fault("output-left-time-major", "A batch-first call's output comes back time-major.", "",
        "batch_first", LAYOUT, Twin(leave=_output_time_major))  # fmt: skip
    yield Fault("batch-first-memory-as-time-major", "A batch-first call's input and output lie in memory as [N, L, …] "
        "and are walked as [L, N, …].", "", "batch_first, N > 1, L > 1", LAYOUT,
        Twin(enter=_memory_in, leave=_memory_out))  # fmt: skip


def _memory_in(twin: Twin, config: LSTMConfig, x: Array, state: State | None) -> tuple[Array, State]:
    sequence, state = correct.enter(twin, config, x, state)
    return (sequence.swapaxes(0, 1).reshape(sequence.shape) if config.batch_first and x.ndim == 3 else sequence), state


def _memory_out(twin: Twin, config: LSTMConfig, result: Whole, unbatched: bool) -> tuple[Array, State]:
    output, states = correct.leave(twin, config, result, unbatched)
    if config.batch_first and not unbatched:
        output = result.output.reshape(output.shape)
    return output, states


# Gates


def _gate_rows() -> Iterator[Fault]:
    """The rows of some gates are those of another one."""
    for source in PACKED:
        rest = [gate for gate in PACKED if gate != source]
        for count in (1, 2, 3):
            for chosen in combinations(rest, count):
                words = f"Gate{'s' if count > 1 else ''} {' and '.join(chosen)} use{'s' if count == 1 else ''}"
                yield Fault(f"{COPIED_ROWS}{source}-for-{''.join(chosen)}", f"{words} the parameters of gate {source}.",
                    "", "always", GATES, Twin(transform=each(_copied(source, chosen))))  # fmt: skip


def _copied(source: str, chosen: Sequence[str]) -> Callable[[LSTMConfig, str, Array], Array]:
    def change(config: LSTMConfig, name: str, value: Array) -> Array:
        if name.startswith("weight_hr"):
            return value
        rows = value.reshape(4, -1, *value.shape[1:]).copy()
        rows[[PACKED.index(gate) for gate in chosen]] = rows[PACKED.index(source)]
        return rows.reshape(value.shape)

    return change
