"""Whether findings are right, and whether two runs of one case agree."""

from __future__ import annotations

import numpy as np

from conformance.bounds.forward import Expectation, Finding
from conformance.spec import Array, Result

#: Two runs of a wrong implementation agree within so many times a correct one's bound.
_GROSS = 1000


def right(findings: list[Finding]) -> bool:
    """Whether every comparison is within its bound."""
    return all(finding.margin() <= 1.0 for finding in findings)


def equal_bits(a: Result, b: Result) -> bool:
    """Equal bits wherever both results have a part."""
    pairs = [(p, q) for p, q in zip(a, b, strict=True) if p is not None and q is not None]
    return bool(pairs) and all(np.array_equal(p, q, equal_nan=True) for p, q in pairs)


def first_difference(a: Result, b: Result) -> tuple[str, tuple[int, ...], float, float] | None:
    """The part, the index and both numbers where two results first differ, or None if their bits are equal."""
    for name, p, q in zip(Result._fields, a, b, strict=True):
        if p is not None and q is not None and not np.array_equal(p, q, equal_nan=True):
            at = tuple(int(k) for k in np.argwhere((p != q) & ~(np.isnan(p) & np.isnan(q)))[0])
            return name, at, float(p[at]), float(q[at])
    return None


def near(some: list[Finding], others: list[Finding]) -> bool:
    """Whether two runs differ by no more than a thousand times each step's own bound: cheap to see, often enough."""
    return len(some) == len(others) and all(
        a.place() == b.place() and _close(a.actual, b.actual, _GROSS * a.bound)
        for a, b in zip(some, others, strict=True)
    )


def alike(usual: Result, changed: Result, expectation: Expectation) -> bool:
    """Whether two runs differ by no more than a thousand times what rounding may have done over the whole run.

    Only for implementations known to be wrong, whose sensitivity nobody knows: the bound of a correct one is a guess.
    """
    config = expectation.case.config
    for slot in config.slots():
        half, at = expectation.free_running(slot.layer)[slot.direction], slot.position(config)
        pairs = [(part[at] for part in (usual.h_n, changed.h_n) if part is not None)]
        bounds = [half.h_n.error, half.c_n.error]
        pairs.append(part[at] for part in (usual.c_n, changed.c_n) if part is not None)
        if slot.layer == config.num_layers - 1:
            outputs = (part for part in (usual.output, changed.output) if part is not None)
            pairs.append(part[..., slot.features(config)] for part in outputs)
            bounds.append(half.output.error)
        for pair, bound in zip(pairs, bounds, strict=True):
            both = tuple(pair)
            if len(both) == 2 and not _close(*both, _GROSS * np.asarray(bound)):
                return False
    return True


def _close(a: Array, b: Array, limit: Array) -> bool:
    with np.errstate(all="ignore"):
        gap = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    return bool(np.all((gap <= limit) | np.isinf(limit) | (np.isnan(a) & np.isnan(b))))
