"""What is altered, in a person's words: the faults' descriptions, and the scopes in which they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.facts import Alteration
from conformance.faults.families import known
from conformance.report.english import enumerated
from conformance.spec import GATES

_PARAMS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
_TENSORS = ("x", "h_0", "c_0", *_PARAMS, "output", "h_n", "c_n")
_DIRECTIONS = {"forward": "the forward direction", "reverse": "the reverse direction"}
_LAYERS = {
    "first-layer": "the first layer",
    "upper-layers": "the layers above the first",
    "lower-layers": "the layers below the top one",
    "top-layer": "the top layer",
}
_OCCASIONS = {
    "two-directions": "models of two directions",
    "one-direction": "models of one direction",
    "several-layers": "models of several layers",
    "one-layer": "models of one layer",
    "batch-first": "batch-first calls with a batch",
    "time-major": "time-major calls with a batch",
    "unbatched": "calls without a batch",
    "with-state": "calls with a state",
    "without-state": "calls without a state",
    "with-lengths": "calls with lengths",
    "without-lengths": "calls without lengths",
    "several-steps": "calls of several steps",
    "several-rows": "calls of several rows",
}
_STEPS = {"first-step": "at the first step", "later-steps": "after the first step", "last-step": "at the last step"}


def altered(alterations: Sequence[Alteration]) -> str:
    """Alterations in words: the faults' descriptions, each with its scope, or with all in which it is met."""
    scopes: dict[str, list[tuple[str, ...]]] = {}
    for one in alterations:
        scopes.setdefault(one.fault, []).append(one.scope)
    told = [_told(fault, several) for fault, several in scopes.items()]
    return "; ".join(told if len(told) == 1 else (f"({at}) {each}" for at, each in enumerate(told, 1)))


def instead(others: Sequence[Alteration], alterations: Sequence[Alteration]) -> str:
    """Other alterations in words; one that differs from those told already in its scope alone is "the same"."""
    faults = {one.fault for one in alterations}
    if len(others) == 1 and others[0].fault in faults:
        return f"the same, {scope(others[0].scope) or 'everywhere'}"
    return altered(others)


def _told(id: str, scopes: Sequence[tuple[str, ...]]) -> str:
    fault = known().get(id)
    told = fault.description.rstrip(".") if fault else id
    return ", ".join(filter(None, [told, " and ".join(filter(None, map(scope, scopes)))]))


def scope(names: Sequence[str]) -> str:
    """A scope in words: "only in gate o of weight_hh in the reverse direction"; nothing for an empty one.

    Tensors and gates join each other; places and steps narrow.
    """
    if not names:
        return ""
    gates = [gate for gate in GATES if f"gate-{gate}" in names]
    tensors = [name for name in _TENSORS if name in names]
    gradients = [name for name in _TENSORS if f"grad {name}" in names]
    if gradients:
        tensors.append(f"the gradient{'s' * (len(gradients) > 1)} of {enumerated(gradients)}")
    rows = f"gate{'s' * (len(gates) > 1)} {enumerated(gates)}" * bool(gates)
    what = " of ".join(filter(None, [rows, enumerated(tensors)]))
    where = " of ".join(_words(names, _DIRECTIONS, _LAYERS))
    when = " and ".join(_words(names, _STEPS))
    calls = enumerated([*_words(names, _OCCASIONS)])
    inside = " in ".join(filter(None, [what, where, calls]))
    return " ".join(filter(None, ["only", f"in {inside}" * bool(inside), when]))


def _words(names: Sequence[str], *kinds: dict[str, str]) -> Iterator[str]:
    return (words for kind in kinds for name, words in kind.items() if name in names)
