"""Probes of what is rare: values that code may read something off, large values and sizes, and earlier calls.

They come last. A mistake that shows anywhere else is known by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from conformance.backend import Backend, Capabilities
from conformance.cases.case import Case, realise
from conformance.cases.recipe import Recipe
from conformance.diagnosis.probes import Call, Probe, made, plain, probes
from conformance.spec import Array, Params

#: The magnitude of large inputs and states; what multiplies it is as small.
_LARGE = 200.0

#: Sizes beyond the tiles, the counters and the fast paths of most code.
_UNITS, _ROWS, _STEPS = 300, 530, 140


def forward_probes(backend: Backend, dtype: str) -> Iterator[Probe]:
    """All probes of the forward pass that a backend's capabilities allow, in order, in a dtype."""
    yield from probes(backend, dtype)
    c, base = backend.capabilities, plain(backend, dtype)
    yield from _telling_values(replace(base, L=3, N=2 if c.batch else 1), c)
    yield from _large_sizes(replace(base, L=2), c)
    yield from _later_calls(replace(base, L=3, N=3 if c.batch else 1), c)


def _changed(name: str, recipe: Recipe, change: Callable[[Case], Case]) -> Probe:
    def again(seed: int) -> Call:
        return Call(replace(change(realise(replace(recipe, seed=20 + seed))), rule="any"))

    return made(name, again, rare=True)


# Values


def _telling_values(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    """Zeros, equal values, and large ones."""
    wide = replace(base, layers=2 if c.layers else 1, bidirectional=c.bidirectional, I=5)
    yield _changed("x that ends in zeros", base, _ending)
    yield _changed("x of zeros", base, lambda case: replace(case, x=0 * case.x))
    if base.bias:
        yield _changed("biases of zeros in the first layer", wide, _without_first_biases)
        yield _changed("equal biases", wide, lambda case: _tied(case, "bias_ih", "bias_hh"))
        yield _changed("gates without weights", wide, _idle_rows)
    if c.bidirectional:
        yield _changed("equal recurrent weights", wide, _tied_directions)
    if c.initial_state:
        yield _changed("state of zeros", replace(base, state="both"), _zero_state)
        yield _changed("large h_0", replace(base, state="both", L=1), _large_h)
    yield _changed("large x", replace(base, L=1), _large_x)


def _ending(case: Case) -> Case:
    x = case.x.copy()
    x[-1, 0] = 0
    x[1:, -1] = 0
    return replace(case, x=x)


def _with(case: Case, changed: dict[str, Array]) -> Case:
    return replace(case, params={**case.params, **changed})


def _without_first_biases(case: Case) -> Case:
    return _with(case, {k: 0 * v for k, v in case.params.items() if k.startswith("bias") and "_l0" in k})


def _tied(case: Case, kind: str, other: str) -> Case:
    names = [name for name in case.params if name.startswith(kind)]
    return _with(case, {name.replace(kind, other): case.params[name].copy() for name in names})


def _idle_rows(case: Case) -> Case:
    """Every second row of the weights is zeros."""
    rows = {k: v.copy() for k, v in case.params.items() if k.startswith(("weight_ih", "weight_hh"))}
    for value in rows.values():
        value[::2] = 0
    return _with(case, rows)


def _tied_directions(case: Case) -> Case:
    names = [name for name in case.params if name.startswith("weight_hh") and not name.endswith("_reverse")]
    return _with(case, {f"{name}_reverse": case.params[name].copy() for name in names})


def _zero_state(case: Case) -> Case:
    h_0, c_0 = case.initial()
    return replace(case, state=(0 * h_0, 0 * c_0))


def _large_h(case: Case) -> Case:
    assert case.state is not None
    h_0, c_0 = case.state
    large = (_LARGE * h_0).astype(h_0.dtype)
    return replace(_scaled(case, "weight_hh"), state=(large, c_0))


def _large_x(case: Case) -> Case:
    return replace(_scaled(case, "weight_ih"), x=(_LARGE * case.x).astype(case.x.dtype))


def _scaled(case: Case, kind: str) -> Case:
    return _with(case, {k: (v / _LARGE).astype(v.dtype) for k, v in case.params.items() if k.startswith(kind)})


# Sizes


def _large_sizes(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    def again(recipe: Recipe) -> Callable[[int], Call]:
        return lambda seed: Call(realise(replace(recipe, seed=30 + seed)))

    sizes = {"many units": replace(base, H=_UNITS)}
    if c.batch:
        sizes["many rows"] = replace(base, N=_ROWS, H=2)
        if c.lengths:
            sizes["many rows, lengths"] = replace(base, N=_ROWS, H=2, L=3, ragged=True)
            sizes["many steps, lengths"] = replace(base, N=2, H=2, L=_STEPS, ragged=True)
    for name, recipe in sizes.items():
        yield made(name, again(recipe), (1,), rare=True)
        if c.initial_state and not recipe.ragged:
            yield made(name, again(replace(recipe, state="both")), (1,), rare=True)


# Earlier calls


def _later_calls(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    """The last of a few calls, of one model or of several."""
    given = [replace(base, state="both")] if c.initial_state else []
    ragged = [replace(base, ragged=True, L=5)] if c.lengths and c.batch else []
    yield _later("second call", base, base)
    yield _later("third call", base, base, base)
    for other in given:
        yield _later("second call, with a state", other, other)
        yield _later("call after one with a state", other, base)
        yield _later("call with a state after one without", base, other)
        yield _later("third call, with states", other, base, other)
    for other in ragged:
        yield _later("call with other lengths than the one before", other, other)
        yield _later("third call with lengths", other, other, other)
        yield _later("call without lengths after one with", other, replace(other, ragged=False))
        yield _later("call with lengths after one without", replace(other, ragged=False), other)
    yield _later("call after a longer one", replace(base, L=5), base)
    yield _later("call after a shorter one", replace(base, L=2), base)
    if c.batch:
        yield _later("call after one of more rows", replace(base, N=4), base)
        for other in given:
            yield _later("calls after one of one row", replace(other, N=1), replace(other, N=1), other)


def _later(name: str, *recipes: Recipe) -> Probe:
    """The last of some calls of one model."""

    def again(seed: int) -> Call:
        cases = [realise(replace(one, seed=100 * seed + k)) for k, one in enumerate(recipes)]
        *before, last = (replace(case, params=cases[0].params) for case in cases)
        return Call(last, before=tuple(Call(case) for case in before))

    return made(name, again, rare=True)


# Other models

#: The parameters of a model from those of the one before it and from random ones.
_Params = Callable[[Params, Params], Params]


def model_probes(backend: Backend, dtype: str) -> Iterator[Probe]:
    """A model's call after those of one or two others of its sizes, which no other probe has.

    What all models of a process share is new to each of these, though it spoils any other call.
    """
    c, base = backend.capabilities, replace(plain(backend, dtype), L=3, N=3 if backend.capabilities.batch else 1)
    several: list[tuple[str, Recipe, _Params, bool]] = [
        ("second model", base, _other, False),
        ("two models in turn", base, _other, True),
        ("second model with the same first weights", base, _with_first_weights, False),
        ("second model whose last elements differ", base, _with_other_ends, False),
    ]
    if c.layers:
        several.append(("second model with the same first layer", replace(base, layers=2), _with_first_layer, False))
    if c.projection:
        several.append(("second model with projection", replace(base, proj=2), _other, False))
    for number, (name, recipe, params, again) in enumerate(several):
        yield made(name, _of_models(number, recipe, params, again), rare=True)


def _other(first: Params, other: Params) -> Params:
    return other


def _with_first_weights(first: Params, other: Params) -> Params:
    return {**other, "weight_ih_l0": first["weight_ih_l0"]}


def _with_first_layer(first: Params, other: Params) -> Params:
    return {name: (first if name.partition("_reverse")[0].endswith("_l0") else other)[name] for name in other}


def _with_other_ends(first: Params, other: Params) -> Params:
    ends = {name: value.copy() for name, value in first.items()}
    for name, value in ends.items():
        value.reshape(-1)[-1] = other[name].reshape(-1)[-1]
    return ends


def _of_models(number: int, base: Recipe, params: _Params, again: bool) -> Callable[[int], Call]:
    """A second model's call after the first one's; or with ``again`` the first one's after that."""

    def call(seed: int) -> Call:
        # The seeds of a probe are 1 and 2, those of fresh cases begin at 100.
        place = 10 * number + (seed if seed < 3 else 3 + seed % 7)
        recipe = replace(base, I=44 + place % 30, H=24 + place // 30, seed=100 * seed)
        first, second, third = (realise(replace(recipe, seed=recipe.seed + k)) for k in range(3))
        second = replace(second, params=params(dict(first.params), dict(second.params)))
        calls = [first, second, replace(third, params=first.params)] if again else [first, second]
        *before, last = calls
        return Call(last, before=tuple(Call(case) for case in before))

    return call
