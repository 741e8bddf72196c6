"""One gate at a time: calls of one step in which everything but one gate is saturated, and which gate is wrong.

Whatever the other gates do at the ends of their activations, they must not spoil the one that is looked at. So the cell
starts from 0 where the forget gate must not show, i and g are 0 where their product must not, and the others have the
same preactivation, so that an exchange among them changes nothing:

========  =====================  =====  ================================================
shown     others                 c_0    seen as
========  =====================  =====  ================================================
i         f, g, o = 1            0      c = i
f         i = g = 0; or i = 0    1      c = f, in both ways: either may be spoilt alone
          and g = −1
g         i, f, o = 1            0      c = g
o         i, f, g = 1            64     h = o
tanh(c)   as for i               0      h = tanh(c)
========  =====================  =====  ================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.cases.fills import saturating
from conformance.spec import GATES
from conformance.trials.agreement import right
from conformance.trials.trial import Trial

#: Above this a cell's tanh is 1 in every dtype.
_SATURATED_CELL = 20.0

#: Cases by which a gate is named when several look wrong; they have values from end to end.
_NAMING = 4

#: Values are in proportion up to so many bounds: the number itself is known no better than they are.
_FEW = 4


class Way(NamedTuple):
    """A call that shows one gate."""

    gate: str
    #: The signs of the others' preactivations.
    others: Mapping[str, int]
    c_0: float

    def of(self, case: Case) -> Case:
        """The first step of a case of one layer with the others saturated, and c_0 everywhere the same."""
        params = {name: value.copy() for name, value in case.params.items()}
        for name, value in params.items():
            for other, sign in self.others.items() if name.startswith(("weight_ih", "weight_hh", "bias")) else ():
                level = sign * saturating(case.config.dtype) if name.startswith("bias") else 0
                value.reshape(4, -1)[GATES.index(other)] = level
        h_0, c_0 = case.initial()
        return replace(case, params=params, x=case.x[:1], state=(h_0, np.full_like(c_0, self.c_0)), rule="any")


#: All gates are 1, whichever is which: the cell is c_0 + 1.
_ALL = dict.fromkeys(GATES, 1)

_INPUT = Way("i", {"f": 1, "g": 1, "o": 1}, 0.0)

#: What is shown, and the ways to see it: it is wrong if it is wrong in all of them.
SHOWN: dict[str, tuple[Way, ...]] = {
    "gate i": (_INPUT,),
    "gate f": (Way("f", {"i": -1, "g": 0, "o": 1}, 1.0), Way("f", {"i": -1, "g": -1, "o": -1}, 1.0)),
    "gate g": (Way("g", {"i": 1, "f": 1, "o": 1}, 0.0),),
    "gate o": (Way("o", {"i": 1, "f": 1, "g": 1}, 64.0),),
    "tanh(c)": (_INPUT,),
}


def showing(shown: str, findings: list[Finding]) -> list[Finding]:
    """Those comparisons of a call that show it: of c_n, where it is returned, or of the output and h_n."""
    cells = [finding for finding in findings if finding.tensor == "c_n"]
    hidden = [finding for finding in findings if finding.tensor != "c_n"]
    if shown == "gate o":
        # If the cell is not large, its tanh is not 1, and nothing is said of o.
        return hidden if all((finding.actual >= _SATURATED_CELL).all() for finding in cells) else []
    if shown == "tanh(c)":
        return hidden if cells and right(cells) else []
    return cells or hidden


def wrong(shown: str, findings: list[list[Finding]]) -> bool:
    """Whether it is wrong in all of its ways, whose findings are given."""
    seen = [showing(shown, found) for found in findings]
    return all(found and not right(found) for found in seen)


def named(trial: Trial, suspects: list[str]) -> str:
    """What is wrong, in short; nothing if nothing can be told apart. ``trial`` has one layer.

    Looked at are calls without weights, so that a recurrent kernel or an h_0 that is wrong is not taken for a gate, and
    only where c_0 arrives. ``suspects`` look wrong in the case at hand; those that look wrong in a few cases of
    ordinary values join them, for in a minimal case all gates are alike. If all four look wrong, something else is
    likelier, such as the biases. A product does not tell which of its factors is wrong, but a factor that is wrong by
    itself spoils the other one's values by the same number everywhere. So if there are several, those whose values are
    in proportion to the right ones are not named.
    """
    ordinary = [trial.unedited(fill="normal", seed=trial.recipe.seed + k, gain=2.0) for k in range(_NAMING)]
    if not _c_0_arrives(ordinary[0]):
        return ""
    found = {shown: [_ways(shown, alike, _without_weights(alike.case)) for alike in ordinary] for shown in SHOWN}
    bare = _without_weights(trial.case)
    suspects = [
        shown
        for shown in SHOWN
        if any(wrong(shown, each) for each in found[shown])
        or (shown in suspects and wrong(shown, _ways(shown, trial, bare)))
    ]
    if all(f"gate {gate}" in suspects for gate in GATES):
        return ""
    odd = [shown for shown in suspects if not _proportional(shown, found[shown])]
    names = odd or suspects
    gates = sum(name.startswith("gate ") for name in names)
    kind = "" if not gates else "gates " if gates > 1 and odd else "gate "
    *first, last = [name.removeprefix("gate ") for name in names] or [""]
    return kind + (", ".join(first) + (" and " if odd else " or ") if first else "") + last


def _without_weights(case: Case) -> Case:
    """The case with zeros for what multiplies x and h: its gates are those of the biases."""
    params = {
        name: np.zeros_like(value) if name.startswith(("weight_ih", "weight_hh")) else value
        for name, value in case.params.items()
    }
    return replace(case, params=params)


def _c_0_arrives(trial: Trial) -> bool:
    """Whether c_0 makes a difference to a cell that is not forgotten; if c_n is not returned, it is not known."""
    without, given = (trial.run(Way("", _ALL, c_0).of(_without_weights(trial.case))).c_n for c_0 in (0.0, 1.0))
    return without is None or given is None or bool(np.all(np.abs(given - without) > 0.25))


def ways(shown: str, trial: Trial) -> list[list[Finding]]:
    """The comparisons of each call that shows it."""
    return _ways(shown, trial, trial.case)


def _ways(shown: str, trial: Trial, case: Case) -> list[list[Finding]]:
    return [trial.findings_of(way.of(case)) for way in SHOWN[shown]]


def _proportional(shown: str, found: list[list[list[Finding]]]) -> bool:
    """Whether its values are the right ones times some number, give or take a few bounds: this decides a name alone."""
    seen = [finding for first, *_ in found for finding in showing(shown, first)]
    if not seen:
        return True
    parts = zip(*((f.actual.ravel(), f.expected.ravel(), f.bound.ravel()) for f in seen), strict=True)
    actual, expected, bound = (np.concatenate(part) for part in parts)
    with np.errstate(all="ignore"):
        factor = actual @ expected / (expected @ expected)
        return bool(np.all(np.abs(actual - factor * expected) < _FEW * np.abs(factor) * bound))
