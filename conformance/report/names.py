"""The report for a person's eyes, whatever the format: harmless, and each backend by a name that no other has."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from conformance.report.harmless import NAME, harmless, legible
from conformance.report.model import BackendReport, Report


def named(report: Report) -> Report:
    """The report for a person's eyes: each backend under a name without folders, if no other has the same.

    The verdicts keep the target: a replay line needs it. Every text is made harmless.
    """
    names = [harmless(_short(backend), NAME) for backend in report.backends]
    count = Counter(names)
    targets = [harmless(backend.backend, NAME) for backend in report.backends]
    shown = [name if count[name] == 1 else target for name, target in zip(names, targets, strict=True)]
    report = legible(report)
    backends = (replace(each, backend=name) for each, name in zip(report.backends, shown, strict=True))
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
