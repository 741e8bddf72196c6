"""The record of the diagnosis on the catalogue, as text: what was missed, and the shares by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tabulate import tabulate

from conformance.selftest.diagnosed import CAUSE, CONDITIONS, PAIR, PROPERTY, STRUCTURAL, Diagnosed, DiagnosedTest

_HEADS = (
    "",
    "",
    "cause first",
    "confirmed",
    "by conditions",
    "property alone",
    "missed",
    "WRONG",
    "median s",
    "95 % s",
)


def table(test: DiagnosedTest) -> str:
    """The faults whose cause was not named, or that were wrongly confirmed, and the totals by class."""
    missed = [
        [" + ".join(row.faults), row.kind, "WRONG" if row.wrong else "", "; ".join(row.told)[:100], row.seconds]
        for row in test.rows
        if row.wrong or (row.kind and not row.named)
    ]
    parts = [tabulate(missed, ["not named first", "class", "", "told", "s"], floatfmt=".1f")] if missed else []
    if alone := [row.faults[0] for row in test.rows if row.named == PROPERTY]:
        parts.append(f"told by its property alone ({len(alone)}): {', '.join(alone)}")
    kinds = dict.fromkeys(row.kind for row in test.rows if row.kind)
    groups = {kind: [row for row in test.rows if row.kind == kind] for kind in sorted(kinds)}
    structural = [row for row in test.rows if row.kind in STRUCTURAL]
    others = [row for row in test.rows if row.kind and row.kind not in (*STRUCTURAL, PAIR)]
    groups |= {"conventions and structure": structural, "all others": others}
    groups |= {"correct LSTMs": [row for row in test.rows if not row.kind]}
    parts.append(tabulate([_total(name, rows) for name, rows in groups.items() if rows], _HEADS, floatfmt=".1f"))
    parts += [text for text in (_shares(structural, others), _pairs(groups.get(PAIR, ()))) if text]
    wrong = sum(row.wrong for row in test.rows)
    parts.append(f"{wrong} of {len(test.rows)} diagnoses confirmed what is wrong")
    return "\n\n".join(parts) + (f"\n\ninterrupted: {test.missing} missing" if test.missing else "")


def _total(name: str, rows: Sequence[Diagnosed]) -> list[object]:
    named = [row.named for row in rows]
    counts = named.count(CAUSE), sum(row.confirmed for row in rows), named.count(CONDITIONS), named.count(PROPERTY)
    missed, wrong = sum(bool(row.kind) and not row.named for row in rows), sum(row.wrong for row in rows)
    return [name, len(rows), *counts, missed, wrong, *np.percentile([row.seconds for row in rows], [50, 95])]


def _shares(structural: Sequence[Diagnosed], others: Sequence[Diagnosed]) -> str:
    lines = []
    if structural:
        named = sum(row.named == CAUSE for row in structural), sum(row.confirmed for row in structural)
        lines.append(
            f"conventions and structure: named first {_of(named[0], structural)}, confirmed {_of(named[1], structural)}"
        )
    # What has neither a formula nor conditions is told by its property alone: no claim is made for it.
    if claimed := [row for row in others if row.named != PROPERTY]:
        lines.append(
            f"all others that have conditions: cause or conditions told {_of(sum(map(_named, claimed)), claimed)}"
        )
    return "\n".join(lines)


def _pairs(rows: Sequence[Diagnosed]) -> str:
    return f"pairs: both named {_of(sum(map(_named, rows)), rows)}" if rows else ""


def _named(row: Diagnosed) -> bool:
    return bool(row.named)


def _of(count: int, rows: Sequence[Diagnosed]) -> str:
    return f"{count} of {len(rows)} ({100 * count / len(rows):.1f} %)"
