"""The names by which a person is told of backends: their own, of which no two are alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from conformance.report.model import BackendReport, Report


def named(report: Report) -> Report:
    """The report for a person's eyes: each backend under a name without folders, if no other has the same.

    The verdicts keep the target: a replay line needs it.
    """
    names = [_short(backend) for backend in report.backends]
    count = Counter(names)
    pairs = zip(report.backends, names, strict=True)
    backends = (replace(b, backend=name) if count[name] == 1 else b for b, name in pairs)
    return replace(report, backends=tuple(backends))


def _short(backend: BackendReport) -> str:
    """The name that it gave itself; of one that gave none its target, without folders."""
    if backend.own_name and backend.own_name.isprintable():
        return backend.own_name
    target = backend.backend
    file, colon, attribute = target.rpartition(":")
    if file.endswith(".py") and not target.startswith("exec:"):
        return file.replace("\\", "/").rpartition("/")[2] + colon + attribute
    return target
