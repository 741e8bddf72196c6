"""Every candidate tried on every fault: which faults one call can show, and which candidates kill them in which form.

A fault is a faulty LSTM that is built anew for each call. A vector kills it if its result has another form, or an
element that is beyond the tolerance by more than a fifth of it. What another order of sums changes is less than that:
so another processor chooses the same vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from conformance.bounds.forward import Expectation, judge
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import canonical
from conformance.faults import CLASSES, FAULTS, Fault
from conformance.faults.twin import Twin
from conformance.selftest.peer import declares, equal, result_of
from conformance.spec import Array, Result
from conformance.vectors.forms import FORMS, Form
from conformance.vectors.vector import Vector, errors

#: So much beyond the tolerance a fault's error must be.
_FACTOR = 1.2

_TWIN = Twin()


@dataclass(frozen=True)
class Stage:
    """Candidates, and the kinds of the faults that they are tried on."""

    candidates: Sequence[Vector]
    kinds: frozenset[str] = frozenset(CLASSES)
    #: They are too large to become vectors, and only tell what one call can show.
    only_shows: bool = False


class Tried:
    """The record of all candidates that were tried in some forms, the widest of which is the first."""

    def __init__(self, forms: Sequence[Form]) -> None:
        self.forms = tuple(forms)
        self.candidates: list[Vector] = []
        #: The faults that each candidate kills, by its place in the list, for each form by its name.
        self.kills: dict[str, list[frozenset[str]]] = {form.name: [] for form in forms}
        #: The faults that some call that the form can express shows, whether or not that call may become a vector.
        self.shown: dict[str, set[str]] = {form.name: set() for form in forms}

    def killed(self, form: Form) -> set[str]:
        """The faults that some candidate kills."""
        return set().union(*self.kills[form.name])


def faults_of(dtype: str) -> list[Fault]:
    """The faults of a dtype that are not merely about gradients: their forward pass is made of other pieces."""
    return [fault for fault in FAULTS.values() if dtype in fault.capabilities.dtypes and _altered(fault)]


def _altered(fault: Fault) -> bool:
    pieces = (piece.name for piece in fields(Twin) if piece.name != "shared")
    return any(getattr(fault.twin, name) != getattr(_TWIN, name) for name in pieces)


def try_all(
    stages: Iterable[Stage],
    faults: list[Fault],
    forms: Sequence[Form] = FORMS,
    watch: Callable[[], None] = lambda: None,
) -> Tried:
    """Try the candidates of each stage, in order; ``watch`` is called after each. The first form is the widest.

    A stage is asked of the faults alone that no candidate of an earlier one kills in some form; if it only shows them,
    of those that no call has shown at all.
    """
    tried = Tried(forms)
    for stage in stages:
        left = [fault for fault in faults if fault.kind in stage.kinds]
        anywhere = dict.fromkeys(tried.shown, tried.shown[forms[0].name])
        settled = anywhere if stage.only_shows else {form.name: tried.killed(form) for form in forms}
        for vector in stage.candidates:
            able = [form for form in forms if form.expresses(vector)]
            asked = [fault for fault in left if any(fault.id not in settled[form.name] for form in able)]
            killed = try_one(vector, asked, tried.shown)
            if not stage.only_shows:
                tried.candidates.append(vector)
                for form in forms:
                    tried.kills[form.name].append(frozenset(killed[form.name]))
            watch()
    return tried


def try_one(vector: Vector, faults: Iterable[Fault], shown: dict[str, set[str]]) -> dict[str, set[str]]:
    """The faults that a vector kills, by the names of the forms in ``shown``, which gets those that its call shows."""
    forms = [form for form in FORMS if form.name in shown]
    killed: dict[str, set[str]] = {form.name: set() for form in forms}
    able = {form: form.tolerances(vector) for form in forms if form.expresses(vector)}
    bounds = tuple(np.asarray(bound, np.float64) for bound in vector.expectations.bound)
    right = result_of(_TWIN.build, vector.case)
    for fault in faults:
        if not declares(fault.capabilities, vector.case):
            continue
        got = result_of(fault.build, vector.case)
        if got is None or equal(got, right):
            continue
        found = errors(vector, got)
        for form, tolerances in able.items():
            if tolerances is not None and (found is None or ratio(found, tolerances) > _FACTOR):
                killed[form.name].add(fault.id)
        missing = [form for form in able if fault.id not in shown[form.name]]
        if missing and (found is None or ratio(found, bounds) > 1 or rejected(fault, vector, got)):
            for form in missing:
                shown[form.name].add(fault.id)
    return killed


def ratio(found: list[Array], tolerances: tuple[Array | float, ...]) -> float:
    """The largest error as a share of what is allowed; infinite where nothing is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(e == 0, 0.0, e / t) for e, t in zip(found, tolerances, strict=True)]
    return max(float(part.max(initial=0.0)) for part in parts)


def rejected(fault: Fault, vector: Vector, got: Result) -> bool:
    """Whether the suite says of this call that it is wrong, where the vector's own bound is too wide.

    The suite judges each step by itself, forced on the fault's own outputs, and wants h_n to equal the last output.
    """
    case = vector.case
    declared = arithmetic(case.config.dtype, {})
    if not vector.finite or vector.stand_in is not None or declared is None:
        return False
    result = canonical(case, got)
    if not _ends_in_h_n(vector, result):
        return True

    def observe(layers: int) -> Result:
        prefix = case.prefix(layers)
        part = result_of(fault.build, prefix)
        assert part is not None
        return canonical(prefix, part)

    findings = judge(Expectation(case, declared), lambda k: result if k == case.config.num_layers else observe(k))
    return any(finding.margin() > 1 for finding in findings)


def _ends_in_h_n(vector: Vector, result: Result) -> bool:
    """Whether the top layer's h_n has the bits of its last outputs."""
    case, (output, h_n, _) = vector.case, result
    assert output is not None
    assert h_n is not None
    last, rows = case.row_lengths() - 1, np.arange(case.batch)
    for slot in case.config.slots(case.config.num_layers - 1):
        ends = output[0 if slot.reverse else (last, rows)][..., slot.features(case.config)]
        if not np.array_equal(ends, h_n[slot.position(case.config)]):
            return False
    return True
