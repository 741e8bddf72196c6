"""The report as a piece of HTML, for a notebook's cell: light or dark as the notebook is, and small."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from conformance.report import causes
from conformance.report.columns import ENDLESS, WIDTH
from conformance.report.conclusion import standing
from conformance.report.model import BackendReport, Report
from conformance.report.names import named
from conformance.report.summary import HEADERS, cells, headline, remarks
from conformance.report.text import explain, head

#: The signs of the words for a backend's standing, which many fonts have.
_MARKS = {"conformant": "✓", "not conformant": "✗"}

#: So many failures of a backend are shown.
_FAILURES = 20


def render(report: Report) -> str:
    """The text of one element. It loads nothing, runs nothing, and styles nothing around it."""
    shown = named(report)
    text = resources.files("conformance.report").joinpath("fragment.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
    backends = [_backend(backend) for backend in shown.backends]
    return template.render(headers=HEADERS, backends=backends, complete=shown.complete, head=head(shown, ENDLESS))


def _backend(backend: BackendReport) -> dict[str, Any]:
    found = backend.diagnosis.causes if backend.diagnosis else ()
    word = standing(backend)
    return {
        "name": backend.backend,
        "mark": _MARKS.get(word, "–"),
        "standing": word,
        "cells": cells(backend),
        "causes": [
            {"sentence": causes.sentence(one, backend), "seen_in": one.seen_in, "fix": one.fix} for one in found
        ],
        "headline": headline(backend),
        "failures": [explain(verdict, width=WIDTH) for verdict in backend.bad[:_FAILURES]],
        "more": max(0, len(backend.bad) - _FAILURES),
        "notes": list(remarks(backend)),
    }
