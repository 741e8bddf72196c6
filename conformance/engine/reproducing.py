"""From a failure to the few calls that show it: recorded, judged each by itself, and made again from the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Inquiry, Judge
from conformance.errors import SuiteError
from conformance.facts import Fact, Mismatch, Misshapen, Raised, Said, Within, apart
from conformance.properties.model import Property
from conformance.spec import Array
from conformance.trials.events import ENDED, Event, Performed, digest
from conformance.trials.reproduction import (
    Reproduction,
    Wanted,
    beyond,
    case_of,
    form_error,
    params_of,
    random,
    wanted,
)

#: So many of a property's calls are looked at, for so many seconds at most.
_CALLS, _SECONDS = 400, 20.0

Events = tuple[Event, ...]


class Recorder(Judge, Protocol):
    """A judge that can tell the calls that a property makes, and make calls again."""

    def record(self, recipes: Sequence[Recipe], inquiry: Inquiry) -> tuple[Events, Answer | None]:
        """The calls that a property makes on the last recipe, after those of the others; and its answer.

        No answer if the process ended, in the last of the calls, or if the calls cannot be told as data.
        """
        ...

    def perform(self, events: Events) -> Performed:
        """Make calls again, on fresh models; what became of the last one."""
        ...


#: A kind of failure, what is said of it, and what must have been returned.
_Failure = tuple[str, str, Mapping[str, Wanted]]


class NotShown(Exception):
    """No calls were found that show a failure by themselves; ``str(error)`` says why."""


def judged(recorder: Recorder, events: Events, kinds: Sequence[str], tensor: str = "") -> _Failure | None:
    """The first kind of failure, of some, that the last of some calls shows when all are made again: its name, what is
    said of it, and what must have been returned; None if it shows none.

    Wrong values are told of ``tensor`` alone, if it is given.
    """
    performed = recorder.perform(events)
    if tensor:
        kinds = [kind for kind in kinds if kind == "values"]
        performed = replace(performed, returned=_first(tensor, performed.returned))
    for kind in kinds if events[-1].called else {"raised"} & {*kinds}:
        try:
            told, want = _KINDS[kind](recorder, events, performed)
        except SuiteError:
            continue
        if told and told.startswith(tensor):
            return kind, told, want
    return None


#: Every kind of failure, in the order in which a call of unknown failure is looked at.
KINDS = ("raised", "accepted", "form", "values", "changed", "shared")

_Found = tuple[str, Mapping[str, Wanted]]


def _raised(recorder: Recorder, events: Events, performed: Performed) -> _Found:
    if not performed.raised or performed.unsupported or (events[-1].called and _misfit(events)):
        return "", {}
    told = performed.raised if performed.raised.startswith(ENDED) else f"it raises {performed.raised}"
    return told.partition("\n")[0], _known(recorder, events, None)


def _accepted(recorder: Recorder, events: Events, performed: Performed) -> _Found:
    if performed.raised or not _misfit(events):
        return "", {}
    return "it accepts a call that makes no sense", {}


def _form(recorder: Recorder, events: Events, performed: Performed) -> _Found:
    if performed.raised or _misfit(events):
        return "", {}
    absent = [name for name in recorder.backend.capabilities.returns if name not in performed.returned]
    if absent and not performed.malformed:
        return f"it does not return {' and '.join(absent)}", _known(recorder, events, None)
    told = form_error(events, performed)
    return told, _known(recorder, events, performed) if told else {}


def _values(recorder: Recorder, events: Events, performed: Performed) -> _Found:
    if performed.raised or form_error(events, performed):
        return "", {}
    want = wanted(events, recorder.backend.capabilities.arithmetic, performed)
    if want is None:
        return "", {}
    want = {name: want[name] for name in performed.returned if name in want}
    for name, one in want.items():
        actual = performed.returned[name]
        if (off := beyond(actual, one)).any():
            return _place(name, actual, one, off), want
    return "", {}


def _first(tensor: str, returned: Mapping[str, Array]) -> dict[str, Array]:
    """What was returned, one tensor before the others."""
    return {name: returned[name] for name in sorted(returned, key=lambda name: name != tensor)}


def _place(name: str, actual: Array, want: Wanted, off: Array) -> str:
    at = tuple(int(k) for k in np.argwhere(off)[0])
    place = f"{name}{list(at)}" if at else name
    correct, got = apart(float(want.expected[at]), float(actual[at]))
    bound = f" ± {float(want.bound[at]):.2g}" if np.isfinite(want.expected[at]) else ""
    return f"{place} is {got}, expected {correct}{bound}"


def _changed(recorder: Recorder, events: Events, performed: Performed) -> _Found:
    return (f"it changes {', '.join(performed.changed)}" if performed.changed and not performed.raised else ""), {}


def _shared(recorder: Recorder, events: Events, performed: Performed) -> _Found:
    return (f"{performed.shared[0]} share memory" if performed.shared else ""), {}


def _known(recorder: Recorder, events: Events, performed: Performed | None) -> Mapping[str, Wanted]:
    """What the last call must return, as far as that is known."""
    if not events[-1].called:
        return {}
    declared = recorder.backend.capabilities
    try:
        want = wanted(events, recorder.backend.capabilities.arithmetic, performed) or {}
    except SuiteError:
        return {}

    def returned(name: str) -> bool:
        grad = name.removeprefix("grad ")
        if grad == name:
            return name in declared.returns
        spared = grad in ("h_0", "c_0") and not declared.initial_state
        return declared.gives(grad if grad in ("x", "h_0", "c_0") else "params") and not spared

    return {name: one for name, one in want.items() if returned(name)}


def _misfit(events: Events) -> bool:
    event = events[-1]
    return event.called and case_of(event, params_of(events)) is None


_KINDS: Mapping[str, Callable[[Recorder, Events, Performed], _Found]] = {
    "raised": _raised,
    "form": _form,
    "values": _values,
    "changed": _changed,
    "shared": _shared,
    "accepted": _accepted,
}


def _kinds(p: Property, fact: Fact | None) -> tuple[str, ...]:
    """The kinds of failure that a fact may be about, the likeliest first."""
    while isinstance(fact, Within):
        fact = fact.fact
    if isinstance(fact, Raised):
        return ("raised", "form", "values")
    if isinstance(fact, Misshapen):
        return ("form", "raised")
    if isinstance(fact, Mismatch):
        return ("values", "form", "raised", "changed", "shared")
    if p.group == "refusals":
        return ("accepted", "form", "values", "raised")
    if p.id.endswith(("untouched", "result-survives")):
        return ("changed",)
    if p.id.endswith("no-alias"):
        return ("shared", "changed")
    return ("form", "raised", "values", "changed")


def reproduce(recorder: Recorder, recipes: Sequence[Recipe], p: Property) -> Reproduction:
    """The calls that show the failure of a property on the last of some recipes, as few as there were found.

    Raises ``NotShown`` where none do so by themselves.
    """
    recipe = recipes[-1]
    events, answer = recorder.record(recipes, Inquiry(p, recipe.turn))
    if answer is None:
        return _ended(recorder, recipes, p, events)
    if not answer.wrong:
        raise NotShown(f"{p.id} holds for this case: there is nothing to show")
    kinds, until = _kinds(p, answer.fact), time.monotonic() + _SECONDS
    for tensor in dict.fromkeys([_tensor(answer.fact), ""]):
        for candidate in _candidates(events, kinds):
            alone = p.group != "purity" and len(recipes) == 1
            if (found := _afresh(recorder, candidate, kinds, tensor, alone)) is not None:
                kind, told, want = found
                # The property says what makes no sense about a call.
                told = answer.fact.text if kind == "accepted" and isinstance(answer.fact, Said) else told
                return _made(recorder, recipes, p, candidate, kind, told, want)
            if time.monotonic() > until:
                raise NotShown(f"none of the calls of {p.id} that were looked at for {_SECONDS:g} s is wrong by itself")
    raise NotShown(_why(p, events))


def _afresh(
    recorder: Recorder, events: Events, kinds: Sequence[str], tensor: str = "", alone: bool = True
) -> _Failure | None:
    """What some calls show, and show again in a process in which nothing went before.

    A single call of a fresh model, of a property that is not about histories, is taken at its first word: to start a
    process may take seconds.
    """
    found = judged(recorder, events, kinds, tensor)
    if found is None or (alone and len(events) <= 2):
        return found
    recorder.rest()
    return judged(recorder, events, kinds, tensor)


def _tensor(fact: Fact | None) -> str:
    """The tensor that a fact says is wrong, where it does."""
    while isinstance(fact, Within):
        fact = fact.fact
    known = isinstance(fact, Mismatch) and "preactivations" not in fact.tensor
    return fact.tensor if known and isinstance(fact, Mismatch) else ""


def _why(p: Property, events: Events) -> str:
    if p.id.endswith("memory"):
        return f"{p.id} counts the memory of many calls: no single call shows it"
    if "thread" in p.id:
        return f"{p.id} makes calls from two threads at once: no order of calls shows it"
    if p.chance or (events and random(events)):
        return f"{p.id} judges what is random: no expected values can be told"
    return f"{p.id} has no call that is wrong by itself, within the bound of a whole call"


def _ended(recorder: Recorder, recipes: Sequence[Recipe], p: Property, events: Events) -> Reproduction:
    """The calls that end the process, of which the last one does."""
    for candidate in (*_orders(events, len(events) - 1), events) if events else ():
        if (found := _afresh(recorder, candidate, ("raised",))) is not None:
            return _made(recorder, recipes, p, candidate, *found)
    raise NotShown(f"the calls of {p.id} could not be recorded, or do not end the process again")


def _candidates(events: Events, kinds: Sequence[str]) -> Iterator[Events]:
    """Some of the calls, in order: each that returns results by itself, then after those before it."""
    builds = kinds[0] == "raised"
    looked_at = [at for at, e in enumerate(events[:_CALLS]) if e.called or (builds and e.method == "build")]
    for at in looked_at:
        yield from _orders(events, at)[:1]
    for at in looked_at:
        yield from _orders(events, at)[1:]


def _orders(events: Events, at: int) -> list[Events]:
    """A call by itself on a fresh model; after the other calls of its model; after all calls."""
    event = events[at]
    if event.method == "build":
        return [(event,)]
    own = [e for e in events[:at] if e.model == event.model]
    weights = [e for e in own if e.method in ("build", "load")][-1]
    modes = [e for e in own if e.method == "train"][-1:]
    alone = (replace(weights, method="build"), *modes, event)
    orders = [alone, (*own, event), (*events[:at], event)]
    return [order for k, order in enumerate(orders) if not k or len(order) > len(orders[k - 1])]


def _made(
    recorder: Recorder,
    recipes: Sequence[Recipe],
    p: Property,
    events: Events,
    kind: str,
    told: str,
    want: Mapping[str, Wanted],
) -> Reproduction:
    backend = recorder.backend
    dtype = events[-1].config.dtype
    numbers = {number: k for k, number in enumerate(dict.fromkeys(event.model for event in events), 1)}
    events = tuple(replace(event, model=numbers[event.model]) for event in events)
    kind_of = backend.capabilities.arithmetic.get(dtype, "ieee")
    return Reproduction(
        property=p.id,
        recipes=tuple(map(str, recipes)),
        target=backend.name,
        place="",
        module_class=backend.origin.startswith("<class ") and not backend.own_name,
        events=events,
        kind=kind,
        told=told,
        arithmetic=dtype if kind_of == "ieee" else f"{dtype} as {kind_of}",
        wanted=want,
        digest=digest(events),
    )
