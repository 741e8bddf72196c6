"""The page: one HTML file that needs nothing else, neither a network nor the suite.

``content`` says what stands on it, ``plots`` draws pictures, and the templates beside them lay it out. A failure, a
backend or a property is drawn by a script when somebody asks for it, from the data of ``drawn`` in the file. The
script sets every text as text, never as markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from conformance.report.model import Report
from conformance.report.names import named
from conformance.report.page import content, plots
from conformance.report.page.backends import MARKS, Reason

_TEMPLATES = "conformance.report.page"

#: Of so many backends each has pictures of its own: they are the largest part of a page.
_PICTURED = 14


def render(report: Report, reasons: Mapping[str, Reason] | None = None) -> str:
    """The report as the text of an HTML file.

    ``reasons`` say more of the reasons of expected failures, by their texts, and in the order in which the
    backends' table is to link them.
    """
    shown = content.page(named(report), reasons or {})
    templates = Environment(
        loader=PackageLoader(_TEMPLATES, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def source(name: str) -> Markup:
        """A file of the suite's own, as it is."""
        assert templates.loader is not None
        return Markup(templates.loader.get_source(templates, name)[0])

    few = shown.backends if len(shown.backends) <= _PICTURED else ()
    drawn = plots.overview(shown.backends), {b.key: plots.of_backend(b) for b in few}
    template = templates.get_template("page.html")
    return template.render(
        page=shown,
        marks=MARKS,
        plots=drawn[0],
        backend_plots=drawn[1],
        data=embedded(shown.data),
        source=source,
    )


def embedded(data: object) -> Markup:
    """Data as JSON that no script element ends at, whatever the texts in it say."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)
