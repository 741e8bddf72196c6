"""Faults of a model that lives: weights that a load forgets, modes that do not change, and memory that grows."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.faults.alter import Model, Results, called
from conformance.faults.backward import Differentiable
from conformance.faults.fault import CALLS, FULL, LIVING, Fault
from conformance.faults.twin import Forward, Place, Twin, drop
from conformance.spec import Array, LSTMConfig, Params, State


@dataclass
class Life:
    """A model at one time."""

    config: LSTMConfig
    #: The weights in use.
    params: Params
    #: The caller's arrays of the first weights.
    built: Params
    #: Whether ``vjp`` has been called.
    differentiated: bool = False


# Pieces


def load(twin: Living, life: Life, given: Params) -> Params:
    """The weights to use after a load."""
    return {name: value.copy() for name, value in given.items()}


def switch(twin: Living, life: Life, mode: bool) -> LSTMConfig:
    """The config to use after a change of the mode."""
    return replace(life.config, training=mode)


def retain(twin: Living, life: Life) -> Params:
    """The weights to use after a change of the mode."""
    return life.params


@dataclass(frozen=True)
class Living(Differentiable):
    """The twin with ``forward.load`` and ``forward.train``, after which it goes on as a model that is built anew.

    Forward and backward pass have pieces of their own.
    """

    load: Callable[[Living, Life, Params], Params] = load
    switch: Callable[[Living, Life, bool], LSTMConfig] = switch
    retain: Callable[[Living, Life], Params] = retain

    d_load: Callable[[Living, Life, Params], Params] = load
    d_switch: Callable[[Living, Life, bool], LSTMConfig] = switch

    def build(self, config: LSTMConfig, params: Params) -> Forward:
        """The backend's ``build``, of a ``forward`` that has a ``vjp``, a ``load`` and a ``train``."""
        life, back = Life(config, params, params), Life(config, params, params)
        models: list[Any] = [super().build(config, params)] * 2

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            return models[0](x, state, lengths)

        def vjp(*arguments: Any) -> Any:
            life.differentiated = back.differentiated = True
            return models[1].vjp(*arguments)

        def rebuild() -> None:
            models[:] = [super(Living, self).build(each.config, each.params) for each in (life, back)]

        def load(params: Params) -> None:
            life.params, back.params = self.load(self, life, params), self.d_load(self, back, params)
            rebuild()

        def train(mode: bool) -> None:
            life.config, back.config = self.switch(self, life, mode), self.d_switch(self, back, mode)
            life.params, back.params = self.retain(self, life), self.retain(self, back)
            rebuild()

        model: Any = forward
        model.vjp, model.load, model.train = vjp, load, train
        return model


# Loads


def forgetting(
    forgets: Callable[[str], bool] = lambda name: True, when: Callable[[Life], bool] = lambda life: True
) -> Twin:
    """A load leaves some of the weights as they were."""

    def partly(twin: Living, life: Life, given: Params) -> Params:
        new, due = load(twin, life, given), when(life)
        return {name: life.params[name] if due and forgets(name) else value for name, value in new.items()}

    return Living(load=partly, d_load=partly)


def _unless_the_first_changes(twin: Living, life: Life, given: Params) -> Params:
    same = np.array_equal(life.params["weight_ih_l0"], given["weight_ih_l0"])
    return life.params if same else load(twin, life, given)


def _into_the_first(twin: Living, life: Life, given: Params) -> Params:
    for name, value in given.items():
        np.copyto(life.built[name], value)
    return life.built


def _key(config: LSTMConfig, params: Params) -> tuple[LSTMConfig, tuple[bytes, ...]]:
    return config, tuple(value.tobytes() for value in params.values())


def _interned(twin: Twin, config: LSTMConfig, params: Params) -> Params:
    return twin.shared.setdefault(_key(config, params), dict(params))


def _into_all_equal(twin: Living, life: Life, given: Params) -> Params:
    new = load(twin, life, given)
    twin.shared.pop(_key(life.config, life.built), {}).update(new)
    return new


# Memory that grows


def keeping(make: Callable[..., Any], piece: str = "around") -> Twin:
    """Something of every call is kept: ``make(result, x)``."""

    def change(model: Model, x: Array, *rest: Any) -> Any:
        result = model.call(x, *rest)
        model.shared.setdefault("kept", []).append(make(result, x))
        return result

    return called(change, piece)


def kept_by(key: Callable[[Array], Hashable]) -> Twin:
    """The output of each call is kept by a key, and nothing is ever let go."""

    def change(model: Model, x: Array, *rest: Any) -> Results:
        output, state = model.call(x, *rest)
        model.memory.setdefault(key(x), output.copy())
        return output, state

    return called(change)


def _packed_kept(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """What a call with lengths packs is let go at every other one."""
    calls = model.memory["calls"] = model.memory.get("calls", 0) + 1
    if lengths is not None and calls % 2:
        model.memory[calls] = x.copy()
    return model.call(x, state, lengths)


def _both_kept(model: Model, x: Array, *rest: Any) -> Results:
    """The loop of two directions leaves its output behind."""
    result = model.call(x, *rest)
    if model.config.bidirectional:
        model.memory.setdefault("kept", []).append(result[0].copy())
    return result


def _masks_kept(twin: Twin, at: Place, below: Array) -> Array:
    """What is left of each layer's output in training is kept."""
    left = drop(twin, at, below)
    if at.config.training and at.config.dropout:
        twin.shared.setdefault("left", []).append(left.copy())
    return left


def _registered(twin: Twin, config: LSTMConfig, params: Params) -> Params:
    packed = {name: value.copy() for name, value in params.items()}
    twin.shared.setdefault("models", []).append(packed)
    return packed


_DROPOUT = replace(FULL, dropout=True)
_GRADIENTS = replace(FULL, gradients=True)

FAULTS = (
    Fault("load-forgets-biases", "A load leaves the biases as they were.", "summed biases", "a load, with bias", LIVING,
        forgetting(lambda name: name.startswith("bias"))),
    Fault("load-forgets-upper-layers", "A load changes the first layer only.", "packed weights", "a load, layers > 1",
        LIVING, forgetting(lambda name: "_l0" not in name)),
    Fault("load-forgets-reverse", "A load leaves the reverse direction as it was.", "packed weights",
        "a load, bidirectional", LIVING, forgetting(lambda name: name.endswith("_reverse"))),
    Fault("load-forgotten-after-vjp", "Once a gradient was taken, a load changes nothing.", "compiled graphs",
        "a load after a vjp", LIVING, forgetting(when=lambda life: life.differentiated), _GRADIENTS),
    Fault("load-leaves-transposes", "The backward pass goes on with weights that it transposed.", "fused kernels",
        "a load, gradients", LIVING, Living(d_load=lambda twin, life, given: life.params), _GRADIENTS),
    Fault("load-seen-by-first-weights", "A load is noticed by the first layer's weight_ih.", "caches of packed weights",
        "a load that leaves these", LIVING, Living(load=_unless_the_first_changes)),
    Fault("load-forgets-dropped-weights", "A model with dropout keeps its weight_hh, whatever is loaded.",
        "gluon-nlp#546", "a load, dropout > 0", LIVING,
        forgetting(lambda name: name.startswith("weight_hh"), lambda life: life.config.dropout > 0), _DROPOUT),
    Fault("load-keeps-arrays", "A load keeps the caller's arrays.", "from_numpy without a copy",
        "the caller's arrays change after a load", LIVING, Living(load=lambda twin, life, given: given)),
    Fault("load-into-first-arrays", "A load writes into the arrays that the model was built from.", "copy in place",
        "a load", LIVING, Living(load=_into_the_first)),
    Fault("load-into-equal-models", "A load changes the models that were built from equal weights.",
        "weights that models share", "two models of equal weights", LIVING,
        Living(pack=_interned, load=_into_all_equal)),
    Fault("train-brings-first-weights", "A change of the mode brings the first weights back.", "a graph for each mode",
        "train after a load", LIVING, Living(retain=lambda twin, life: life.built)),
    Fault("train-ignored", "The mode is that of the build.", "a flag that was copied", "train(True), dropout", LIVING,
        Living(switch=lambda twin, life, mode: life.config), _DROPOUT),
    Fault("train-sticks", "A model that was in training stays there.", "dropout descriptors",
        "train(False) after training, dropout", LIVING,
        Living(switch=lambda twin, life, mode: switch(twin, life, mode or life.config.training)), _DROPOUT),
    Fault("train-ignored-by-vjp", "Gradients are taken in the mode of the build.", "a flag that was copied",
        "train, dropout, gradients", LIVING, Living(d_switch=lambda twin, life, mode: life.config),
        replace(_DROPOUT, gradients=True)),
    Fault("outputs-kept", "The output of every call is kept.", "recorded calls", "many calls", CALLS,
        keeping(lambda result, x: result[0].copy())),
    Fault("outputs-kept-by-contents", "The output of every x is kept.", "caches without a limit",
        "many calls with other values", CALLS, kept_by(lambda x: hash(x.tobytes()))),
    Fault("outputs-kept-by-shape", "An output is kept for every shape.", "plans for each shape",
        "many calls of other shapes", CALLS, kept_by(lambda x: x.shape)),
    Fault("tapes-kept", "What every vjp read is kept.", "graphs that are never freed", "many gradients", CALLS,
        keeping(lambda result, x: x.copy(), "d_around"), _GRADIENTS),
    Fault("a-little-kept", "Every vjp keeps 2 KiB, whatever the sizes.", "pytorch#3665", "many gradients", CALLS,
        keeping(lambda result, x: bytearray(2048), "d_around"), _GRADIENTS),
    Fault("packed-calls-kept", "Every other call with lengths keeps its x.", "pytorch#33864",
        "many calls with lengths", CALLS, called(_packed_kept)),
    Fault("outputs-kept-of-both-directions", "The outputs of bidirectional calls are kept.", "openvino#11669",
        "many bidirectional calls", CALLS, called(_both_kept)),
    Fault("dropped-outputs-kept", "What dropout leaves is kept by every call.", "tensorflow#35858",
        "many calls in training", CALLS, Twin(drop=_masks_kept), _DROPOUT),
    Fault("models-kept", "The weights of every model are kept.", "a registry of models", "many models", CALLS,
        Twin(pack=_registered)),
)  # fmt: skip
