"""The forms in which a report may be written to a file, beside its JSON: one table, for every command that writes them.

Each form is a module with a function of the report that returns the text of a file. It is imported when it is asked
for: some need packages that judging does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from conformance.errors import UsageError
from conformance.report.model import Report


@dataclass(frozen=True)
class Rendering:
    """One form, which the option of its name asks for."""

    name: str
    help: str
    #: By the suffix of the file's name, the function that makes its text, as "module:function" of this package; under
    #: "" that of every other name.
    functions: Mapping[str, str]

    def check(self, path: Path) -> None:
        """``UsageError`` for a file whose name says no form."""
        if path.suffix.lower() not in self.functions and "" not in self.functions:
            known = [*self.functions]
            raise UsageError(
                f"--{self.name} {path}: the name must end in {' or '.join(known)}", f"try {path.stem}{known[0]}"
            )

    def of(self, report: Report, path: Path) -> str:
        """The text of a file of this form."""
        function = self.functions.get(path.suffix.lower()) or self.functions[""]
        module, _, name = function.partition(":")
        return getattr(import_module(f"conformance.report.{module}"), name)(report)


_BADGE = {".svg": "badge:svg", ".json": "badge:endpoint"}

RENDERINGS = (
    Rendering("html", "write the page: one file that needs no network", {"": "page:render"}),
    Rendering("markdown", "write a summary in Markdown, such as for a CI job's page", {"": "markdown:render"}),
    Rendering("junit", "write JUnit XML, one test case for each property", {"": "junit:render"}),
    Rendering("csv", "write a table, one row for each property", {"": "spreadsheet:render"}),
    Rendering(
        "badge",
        "write a badge: FILE.svg, or FILE.json for shields.io",
        _BADGE,
    ),
)
