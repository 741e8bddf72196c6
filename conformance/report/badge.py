"""The report as a badge: the answer for a README, as data for shields.io and as a picture.

A badge tells of all backends of a report. It is green only where each of those that can run here is conformant, all
was asked, and no weights of a model's file are wrong.
"""

from __future__ import annotations

import json

from anybadge import Badge

from conformance.facts import LeftOut, Outcome
from conformance.report.levels import reached, whole
from conformance.report.model import BackendReport, Report

LABEL = "LSTM conformance"

_GREEN, _RED, _GREY = "brightgreen", "red", "lightgrey"

#: The colours of the picture by those names: the words on them have a contrast of 4.5 at least.
_COLOURS = {_GREEN: "#2e7d32", _RED: "#c62828", _GREY: "#616161"}

#: As anybadge fills it; it has one name for those who hear it and no ids that another picture of a page might have.
_PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{{ badge width }}" height="20" role="img" \
aria-label="{{ label }}: {{ value }}">
  <title>{{ label }}: {{ value }}</title>
  <g style="clip-path:inset(0 round 3px)">
    <rect width="{{ badge width }}" height="20" fill="{{ color }}"/>
    <rect width="{{ color split x }}" height="20" fill="#444"/>
  </g>
  <g fill="#fff" text-anchor="middle" font-family="{{ font name }}" font-size="{{ font size }}" aria-hidden="true">
    <text x="{{ label anchor }}" y="14">{{ label }}</text>
    <text x="{{ value anchor }}" y="14">{{ value }}</text>
  </g>
</svg>
"""


def endpoint(report: Report) -> str:
    """The JSON that an endpoint badge of https://shields.io reads."""
    message, color = _told(report)
    # Of an error no address of the badge can change the colour.
    told = {"schemaVersion": 1, "label": LABEL, "message": message, "color": color, "isError": color == _RED}
    return json.dumps(told)


def svg(report: Report) -> str:
    """The picture, which needs nothing from elsewhere."""
    message, color = _told(report)
    return Badge(LABEL, message, template=_PICTURE, default_color=_COLOURS[color]).badge_svg_text.rstrip()


def _told(report: Report) -> tuple[str, str]:
    """The message and its colour."""
    if report.misconverted:
        return "not conformant · weights differ", _RED
    ran = [backend for backend in report.backends if backend.available]
    if len(ran) == 1 and not report.missing:
        return _alone(ran[0])
    bad = sum(bool(backend.bad or (backend.complete and not backend.sound)) for backend in ran)
    count = f"{len(ran)} backends"
    if bad:
        return f"not conformant · {bad} of {count}", _RED
    if not report.complete:
        return "incomplete", _GREY
    if not ran:
        return "unavailable", _GREY
    good = [backend for backend in ran if backend.conformant and whole(backend)]
    return f"conformant · {len(good)} of {count}", _GREEN if len(good) == len(ran) else _GREY


def _alone(backend: BackendReport) -> tuple[str, str]:
    # A quick run asks nothing of those that it leaves out.
    asked = backend.declared - sum(isinstance(verdict.fact, LeftOut) for verdict in backend.verdicts)
    hold = sum(verdict.outcome == Outcome.PASSED for verdict in backend.verdicts)
    if backend.bad:
        return f"not conformant · {len(backend.bad)} of {asked} fail", _RED
    if not backend.complete:
        return "incomplete", _GREY
    if not backend.sound:
        return "not conformant", _RED
    if backend.quick or not whole(backend):
        return f"in part · {hold} of {asked} hold", _GREY
    return f"{reached(backend)[0] or 'conformant'} · {hold}/{asked}", _GREEN
