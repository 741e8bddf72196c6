"""The table: one row a backend, passed of declared for each group."""

from __future__ import annotations

from tabulate import tabulate

from conformance.properties import GROUPS
from conformance.report.model import BackendReport, Report


def table(report: Report, width: int = 0) -> str:
    """The table of a report; where ``width`` columns are too few, with the groups as rows instead."""
    ran = [backend for backend in report.backends if backend.available]
    headers = ["backend", *GROUPS, "passed", "declared", "3-way", "margin", "time"]
    rows = [_row(backend) for backend in ran]
    text = tabulate(rows, headers, tablefmt="simple", colalign=["left", *["right"] * (len(headers) - 1)]) if rows else ""
    if width and rows and max(map(len, text.splitlines())) > width:
        columns = list(zip(headers, *rows, strict=True))
        text = tabulate(columns[1:], columns[0], tablefmt="simple", colalign=["left", *["right"] * len(rows)])
    lines = [text] if text else []
    for backend in report.backends:
        if not backend.available:
            lines.append(f"{backend.backend}  unavailable: {backend.verdicts[0].message}")
    for backend in ran:
        if backend.note:
            lines.append(f"{backend.backend}: {backend.note}")
    return "\n".join(lines)


def _row(backend: BackendReport) -> list[str]:
    margin = "–" if backend.margin is None else f"{backend.margin:.2f}"
    coverage = f"{100 * backend.covered / backend.combinations:.0f}%" if backend.combinations else "–"
    groups = [_group(backend, group) for group in GROUPS]
    passed = backend.count("passed", "expected failure")
    return [backend.backend, *groups, str(passed), str(backend.declared), coverage, margin, f"{backend.seconds:.1f} s"]


def _group(backend: BackendReport, group: str) -> str:
    verdicts = [v for v in backend.verdicts if v.property.startswith(group + ".") and v.outcome != "not declared"]
    passed = sum(v.outcome in ("passed", "expected failure") for v in verdicts)
    return f"{passed}/{len(verdicts)}" if verdicts else "–"
