"""The door for a notebook and for Python code: ``check_backend``, whose report shows itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from conformance.backend import Backend
from conformance.drivers import console
from conformance.drivers.diagnosing import USUAL, diagnosed
from conformance.drivers.pytest_request import names_of
from conformance.drivers.run import NO_FAILURES, make_report, now
from conformance.engine.judging import Here
from conformance.engine.news import Diagnosing, News, Tell, counting
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.properties import select
from conformance.report import data, spreadsheet, text
from conformance.report.conclusion import conclusion
from conformance.report.harmless import NAME, harmless
from conformance.report.model import Asked, Report
from conformance.report.names import named
from conformance.report.table import notes, table
from conformance.targets.find import find

if TYPE_CHECKING:
    from pandas import DataFrame


class ShownReport(Report):
    """A report that shows itself: in a notebook as HTML; ``repr`` is the table, ``str`` the table and each failure.

    ``conformant`` is a bool, ``verdicts`` are all verdicts, and ``failures`` are those that make it False.
    """

    def __repr__(self) -> str:
        shown = named(self)
        more = "print(report) shows the failures" if text.failures(shown) else ""
        return _paragraphs(*_told(shown), conclusion(shown), more)

    def __str__(self) -> str:
        shown, columns = named(self), console.width()
        told = text.failures(shown, more="report.failures has each", width=columns)
        tables, remarks = _told(shown)
        return _paragraphs(text.head(shown, columns), tables, told, remarks, conclusion(shown))

    def _repr_html_(self) -> str:
        return import_module("conformance.report.fragment").render(self)

    def to_dataframe(self) -> DataFrame:
        """A pandas data frame with a row for each verdict; its columns are those of the CSV file, with their types.

        Raises ``UsageError`` where pandas is not installed.
        """
        if find_spec("pandas") is None:
            raise UsageError(
                "to_dataframe needs pandas, which is not installed", "install it with `pip install pandas`"
            )
        frame = import_module("pandas").DataFrame(list(spreadsheet.rows(self)), columns=list(spreadsheet.COLUMNS))
        return frame.astype(spreadsheet.COLUMNS)

    def to_json(self) -> str:
        """The text that ``lstm-conformance run --json FILE`` writes."""
        return data.dumps(self)


def _told(shown: Report) -> tuple[str, str]:
    return table(shown, console.width()), notes(shown, console.width())


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def check_backend(
    target: str | Backend | Callable[..., Any],
    *,
    cases: int = Settings.cases,
    seed: int = Settings.seed,
    only: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    stop: bool = False,
    shrink: bool = True,
    strict: bool = False,
    expected_failures: Mapping[str, str] = NO_FAILURES,
    progress: Callable[[int, int], None] | None = None,
    diagnose: float = USUAL,
    properties: str | Sequence[str] | None = None,
) -> ShownReport:
    """Judge one LSTM in this process: the whole suite as one call.

    ``target`` is an nn.Module class, a build function, a ``Backend``, a registered name or a target string such as
    "my_lstm.py:MyLSTM". ``only`` and ``exclude`` are ids or groups of properties, or a single one; ``properties`` is
    another name of ``only``. ``cases`` random cases, drawn by ``seed``, come on top of the fixed set. ``stop`` ends at
    the first failure, and ``shrink=False`` leaves failures as they were met. ``strict`` counts missing guards.
    ``expected_failures`` are {property id: reason with a link}, beside those of the backend. ``progress(done, total)``
    is told the cases done, and all of them; without it, a notebook or a terminal shows a bar. If it fails, its causes
    are looked for, within ``diagnose`` seconds; 0 for not at all.

    The report's repr is the table. It has ``conformant``, ``failures``, ``verdicts`` and ``to_json()``, and
    ``backends[0].diagnosis`` has the causes as data. Raises ``UsageError`` for a target, a property or a group that
    there is not.
    """
    settings = Settings(
        cases,
        seed,
        names_of(only or properties or ()),
        names_of(exclude),
        stop=stop,
        shrink=shrink,
        strict=strict,
        expected_failures=expected_failures,
    )
    # A slip in a name is told before a target is loaded and probed.
    select(settings.only, settings.exclude)
    judge = Here(find(target))
    started = now()
    with _bar(judge.backend.name, progress) as tell:
        judged = conform(judge, settings, tell)
        with suppress(KeyboardInterrupt):
            judged = diagnosed(judge, judged, diagnose, tell)
    report = make_report(settings, (judged,), asked=Asked((judged.backend,), started=started))
    return ShownReport(*(getattr(report, field.name) for field in fields(Report)))


@contextmanager
def _bar(name: str, progress: Callable[[int, int], None] | None) -> Iterator[Tell]:
    """A progress bar where a person sees one, in the place of ``progress``; it is gone when the report is there."""
    seen = sys.stderr.isatty() or "ipykernel" in sys.modules
    bar: Any = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=harmless(name, NAME), total=total, unit="case", leave=False, disable=not seen)
        bar.update(done - bar.n)

    count = counting(progress or show)

    def tell(news: News) -> None:
        count(news)
        if bar is not None and isinstance(news, Diagnosing):
            bar.set_postfix_str(f"diagnosing: {news.step}")

    try:
        yield tell
    finally:
        if bar is not None:
            bar.close()
