"""A report on the console, and the exit code that it gives: the same of a run as of a file."""

from __future__ import annotations

import sys
from typing import TextIO

from conformance.drivers import console
from conformance.drivers.console import show
from conformance.report.colour import painted, unpainted
from conformance.report.columns import ENDLESS
from conformance.report.conclusion import conclusion
from conformance.report.model import Report
from conformance.report.names import named
from conformance.report.table import notes, table
from conformance.report.text import failures, head
from conformance.report.weights import weights


def show_report(whole: Report, verbose: bool, stream: TextIO, last: bool = False) -> None:
    """Print a report for a person; ``last`` says that its failures are kept for ``replay --last``."""
    report, columns = named(whole), console.width()
    paint = painted if console.coloured(stream) else unpainted
    # The cause stands as near to the table as it can.
    parts = [
        head(report, columns),
        weights(report.asked.weights, columns),
        table(report, columns, paint),
        failures(report, verbose, last=last, width=columns),
        notes(report, columns),
        conclusion(report, paint, columns if stream.isatty() else ENDLESS),
    ]
    show("\n\n".join(part for part in parts if part), stream, painted=True)
    for error in whole.errors:
        show(f"\nlstm-conformance: {error}", sys.stderr)


def exit_code(report: Report) -> int:
    """0 conformant, 1 not conformant, 2 usage, 3 incomplete, or a backend that was named is unavailable."""
    if any(not error.defect for error in report.errors):
        return 2
    if report.misconverted or any(backend.bad for backend in report.backends):
        return 1
    unavailable = [not backend.available for backend in report.backends]
    if not report.complete or (report.asked.named and any(unavailable)) or all(unavailable):
        return 3
    # A quick run claims less: that nothing of what it asked is wrong.
    return 0 if all(backend.sound for backend in report.backends if backend.available) else 1
