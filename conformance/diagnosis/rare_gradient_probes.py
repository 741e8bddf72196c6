"""Probes of the gradient of what is rare: sizes past the tiles of most code, and vjps after other calls.

They come last, as those of the forward pass do (``rare_probes.py``). Each asks at two sizes or more, so that what is
wrong past a limit is told from what is wrong at one size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from conformance.backend import Backend, Capabilities
from conformance.cases.case import Case, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe
from conformance.diagnosis.gradient_probes import cotangents_of, gradient_probes
from conformance.diagnosis.probes import Call, Probe, made, plain

#: Calls that are made again of each of these sizes in turn: enough of each to confirm something.
_AGAIN = 12

#: A model that is called so often may be compiled, traced or kept.
_OFTEN = 10


def vjp_probes(backend: Backend, dtype: str) -> Iterator[Probe]:
    """All probes of the gradient that a backend's capabilities allow, in order, in a dtype."""
    yield from gradient_probes(backend, dtype)
    c = backend.capabilities
    base = replace(plain(backend, dtype), state="both" if c.initial_state else "none")
    yield from _later_vjps(replace(base, L=3, N=3 if c.batch else 1), c)
    yield from _large_sizes(replace(base, L=2, N=2 if c.batch else 1), c)


# Sizes


def _large_sizes(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    """Units, features, steps, rows and layers, each at several sizes, and two of them at once."""
    few = replace(base, H=2, gain=1.0)
    sizes = {
        "gradient with many units": [replace(base, H=units) for units in (34, 130, 300)],
        "gradient with odd units": [replace(base, H=units) for units in (19, 23, 27)],
        "gradient with many features": [replace(base, I=features) for features in (130, 520)],
        "gradient with many steps": [replace(few, L=steps) for steps in (20, 70)],
        "gradient with hundreds of steps": [replace(few, L=steps) for steps in (140, 520)],
    }
    if c.layers:
        sizes["gradient with many units, layers"] = [replace(base, layers=2, H=units) for units in (34, 300)]
        sizes["gradient with many steps, layers"] = [replace(few, layers=2, L=steps) for steps in (20, 70)]
        sizes["gradient with many layers"] = [replace(base, layers=layers) for layers in (4, 6)]
    if c.batch:
        sizes["gradient with many rows"] = [replace(few, N=rows, L=3) for rows in (10, 40, 70)]
        sizes["gradient with many rows and steps"] = [replace(few, N=530, L=8), replace(few, N=70, L=60)]
        sizes["gradient with many rows and units"] = [replace(base, N=40, H=units) for units in (34, 130)]
    for name, recipes in sizes.items():
        calls = _each_in_turn(recipes)
        yield Probe(name, tuple(map(calls, range(len(recipes)))), calls, rare=True, times=_AGAIN, costly=True)


def _each_in_turn(recipes: Sequence[Recipe]) -> Callable[[int], Call]:
    def again(seed: int) -> Call:
        return _vjp(replace(recipes[seed % len(recipes)], seed=40 + seed), seed)

    return again


def _vjp(recipe: Recipe, seed: int, changed: Callable[[Case, Cotangents], Call] = Call) -> Call:
    case = realise(recipe)
    return changed(case, cotangents_of(case, seed=50 + seed))


# Earlier calls


def _later_vjps(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    """The last of a few vjps, of one model or of several."""
    yield _later("second vjp", base, base)
    yield _later("third vjp", base, base, base)
    yield _later("vjp after a longer one", replace(base, L=5), base)
    yield _later("vjp after a shorter one", replace(base, L=2), base)
    yield _later("second model's vjp", base, base, models=2)
    two = (base, base)
    yield made("vjp after a call", lambda seed: _of_one_model(two, seed, called=True), rare=True)
    yield made("second vjp, without grad_output", lambda seed: _of_one_model(two, seed, unused=True), rare=True)
    yield made("the same vjp of another model", _same_arguments(base), rare=True)
    if c.batch:
        yield _later("vjp after one of fewer rows", replace(base, N=2), base)
        yield _later("vjp after one of more rows", replace(base, N=4), base)
    if c.initial_state:
        yield _later("vjp with a state after one without", replace(base, state="none"), base)
        yield _later("vjp without a state after one with", base, replace(base, state="none"))
    if c.lengths and c.batch:
        ragged = replace(base, ragged=True, L=5)
        yield _later("vjp without lengths after one with", ragged, replace(ragged, ragged=False))
        yield _later("vjp with other lengths than the one before", ragged, ragged)
    if c.unbatched:
        yield _later("vjp after an unbatched one", replace(base, N=1, unbatched=True), base)
    yield _later("vjp after many", *[base] * _OFTEN)


def _later(name: str, *recipes: Recipe, models: int = 1) -> Probe:
    return made(name, lambda seed: _of_one_model(recipes, seed, models), rare=True)


def _of_one_model(
    recipes: Sequence[Recipe], seed: int, models: int = 1, called: bool = False, unused: bool = False
) -> Call:
    """The last of some vjps, whose models follow each other in turn.

    With ``called`` those before it are forward calls; with ``unused`` its loss leaves the output out.
    """
    cases = [realise(replace(one, seed=100 * seed + k)) for k, one in enumerate(recipes)]
    cases = [replace(case, params=cases[k % models].params) for k, case in enumerate(cases)]
    *before, last = [Call(case, cotangents_of(case, seed=60 + seed + k)) for k, case in enumerate(cases)]
    if called:
        before = [Call(one.case) for one in before]
    if unused and last.cotangents is not None:
        last = last._replace(cotangents=last.cotangents._replace(output=0 * last.cotangents.output))
    return last._replace(before=tuple(before))


def _same_arguments(base: Recipe) -> Callable[[int], Call]:
    """A vjp of the arguments that another model has met before."""

    def again(seed: int) -> Call:
        case = realise(replace(base, seed=70 + seed))
        other = realise(replace(base, seed=170 + seed))
        cotangents = cotangents_of(case, seed=70 + seed)
        return Call(case, cotangents, (Call(replace(case, params=other.params), cotangents),))

    return again
