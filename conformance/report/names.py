"""The names by which a person is told of backends: short ones, of which no two are alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from conformance.report.model import BackendReport, Report


def named(report: Report) -> Report:
    """The report for a person's eyes: each backend under its shortest name, if no other backend has the same.

    The verdicts keep the target: a replay line needs it.
    """
    names = [_shortest(backend) for backend in report.backends]
    count = Counter(names)
    pairs = zip(report.backends, names, strict=True)
    backends = (replace(b, backend=name) if count[name] == 1 else b for b, name in pairs)
    return replace(report, backends=tuple(backends))


def _shortest(backend: BackendReport) -> str:
    """The name that it gave itself, or its target without folders, whichever is shorter."""
    target = backend.backend
    file, colon, attribute = target.rpartition(":")
    if file.endswith(".py") and not target.startswith("exec:"):
        target = file.replace("\\", "/").rpartition("/")[2] + colon + attribute
    own = backend.own_name if backend.own_name.isprintable() else ""
    return min(filter(None, (own, target)), key=len)
