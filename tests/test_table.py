"""The table of real implementations says what the reports say, and nothing that fails without a finding is hidden."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from programs import ROOT

from conformance.facts import Measured, Outcome, Quick
from conformance.report.model import Asked, BackendReport, Report, Verdict
from conformance.report.page import render
from conformance.report.page.backends import Reason
from conformance.report.summary import small_call
from implementations import table
from implementations.matrix import Project, complaints, environments, pages, pinned, projects, read, rows

PROJECT = Project("Mine", "https://example.org", "mine", ("mine-",), (("mine", "mine-too"),))
ENVIRONMENTS = {"some": {"requirements": ["Mine[cpu]==1.2.3"], "backends": ["mine"]}}
PAGES = {"mine-01-wrong": {"severity": "high"}, "mine-02-slow": {"severity": "low"}}
PASSED = Verdict("mine", "values.output", Outcome.PASSED, margin=0.25, cases=9)
KNOWN = Verdict("mine", "nonfinite.nan-kept", Outcome.EXPECTED_FAILURE, expected="docs/findings/mine-01-wrong.md")
BAD = Verdict("mine", "refusals.rank", Outcome.FAILED)


def report(*verdicts: Verdict, **more: object) -> Report:
    own = BackendReport("mine", verdicts or (PASSED,), own_name="mine", dtypes=("float32",), seconds=60.0)
    made = replace(own, **more)  # pyright: ignore[reportArgumentType]
    return Report("0", 0, 100, {}, (made,), asked=Asked(("mine",)), ended="2026-01-02T03:04:05+00:00")


def text(*reports: Report) -> str:
    return "\n".join(table.long(rows(reports, [PROJECT], ENVIRONMENTS), [PROJECT], PAGES))


def complained(*reports: Report) -> list[str]:
    return complaints(rows(reports, [PROJECT], ENVIRONMENTS), PAGES)


def test_a_row_says_whose_it_is_and_what_holds() -> None:
    [row] = rows([report(PASSED, KNOWN)], [PROJECT], ENVIRONMENTS)
    assert (row.project, row.version, row.margin, row.day) == ("Mine", "1.2.3", 0.25, "2026-01-02")
    assert (row.shares["computes"].good, row.shares["edges"].good, row.shares["edges"].asked) == (1, 0, 1)
    told = text(report(PASSED, KNOWN))
    assert "[mine-01](../docs/findings/mine-01-wrong.md)" in told
    assert "high: [mine-01]" in told
    assert "low: [mine-02]" in told, "a project's line has all its findings"
    assert complained(report(PASSED, KNOWN)) == []


def test_a_failure_without_a_finding_is_seen() -> None:
    told = report(PASSED, BAD)
    assert "without a finding: 1" in text(told)
    assert complained(told) == ["mine fails without a finding: refusals.rank"]
    assert "1 fail something without a finding" in table.summary(rows([told], [PROJECT], {}), [PROJECT], PAGES)


def test_an_unexpected_pass_is_seen() -> None:
    told = report(replace(KNOWN, outcome=Outcome.UNEXPECTED_PASS))
    assert "unexpected passes: nonfinite.nan-kept" in text(told)
    assert complained(told) == ["mine is expected to fail, and passes: nonfinite.nan-kept"]


def test_a_quick_run_need_not_meet_what_is_expected_to_fail() -> None:
    told = report(replace(KNOWN, outcome=Outcome.UNEXPECTED_PASS), quick=Quick(1, 2))
    assert complaints(rows([told], [PROJECT], ENVIRONMENTS), PAGES, strict=False) == []


def test_a_finding_without_a_page_is_seen() -> None:
    assert complained(report(replace(KNOWN, expected="docs/findings/none.md"))) == [
        "mine: docs/findings/none.md does not exist"
    ]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.PASSED, "refused or right"),
        (Outcome.EXPECTED_FAILURE, "a finding"),
        (Outcome.FAILED, "**failed**"),
        (Outcome.NOT_DECLARED, "none"),
        (Outcome.NARROWED, "**narrowed**"),
    ],
)
def test_undeclared_options(outcome: Outcome, words: str) -> None:
    assert f"| {words} |" in text(report(PASSED, Verdict("mine", "refusals.undeclared", outcome)))


def test_only_whole_default_runs_are_published() -> None:
    assert complained(replace(report(), cases=5)) == ["mine: a run of 5 cases"]
    assert complained(report(quick=Quick(1, 2))) == ["mine: a quick run"]
    assert complained(replace(report(), asked=Asked(only=("values",)))) == ["mine: a run of some properties"]
    assert complaints(rows([report(quick=Quick(1, 2))], [PROJECT], {}), PAGES, strict=False) == []


def test_a_backend_of_no_project_is_seen() -> None:
    assert complaints(rows([report()], [], ENVIRONMENTS), PAGES) == [
        "mine: no project in implementations/projects.toml"
    ]


def test_variants_of_a_kernel_count_once() -> None:
    two = replace(report().backends[0], backend="mine-too", own_name="mine-too")
    found = rows([replace(report(), backends=(*report().backends, two))], [PROJECT], {})
    assert table.summary(found, [PROJECT], PAGES).startswith("2 implementations (1 kernels) of 1 project,")


def test_the_time_of_a_small_call() -> None:
    cells = [Measured("float32", 8, 16, 2, None, 1.0), Measured("float32", 1, 1, 1, None, 5.0)]
    others = [Measured("float32", 16, 1, 9, None, 9.0), Measured("float64", 1, 1, 9, None, 9.0)]
    assert small_call(BackendReport("mine", (), measured=(*cells, *others))) == 1.0
    assert small_call(BackendReport("mine", (), measured=tuple(others))) is None


def test_no_path_of_the_machine_is_kept() -> None:
    said = Verdict("mine", "values.output", Outcome.FAILED, smallest="/home/me/env/lib/site-packages/mine.py")
    told = replace(report(said), asked=Asked(("mine",), command=("run", "mine", "--json", "/home/me/mine.json")))
    kept = table.portable(told)
    assert kept.asked.command == ("run", "mine")
    assert kept.backends[0].verdicts[0].smallest == "site-packages/mine.py"
    standard = replace(said, smallest="/home/me/lib/python3.11/threading.py")
    assert table.portable(report(standard)).backends[0].verdicts[0].smallest == "python3.11/threading.py"


# The files as they are


def test_each_backend_of_the_environments_belongs_to_a_project() -> None:
    judged = [backend for environment in environments().values() for backend in environment["backends"]]
    known = [backend for project in projects() for backend in project.backends]
    assert set(judged) <= set(known)
    assert len(known) == len(set(known))


def test_each_project_has_a_version_and_its_pages() -> None:
    envs, ids = environments(), pages()
    of = [project.findings for project in projects()]
    judged = {backend for environment in envs.values() for backend in environment["backends"]}
    of_pins = [p for p in projects() if p.package and judged & set(p.backends)]
    assert [p.name for p in of_pins if not any(pinned(p.package, b, envs) for b in p.backends)] == []
    assert [id for id in ids if not any(id.startswith(prefixes) for prefixes in of)] == []


def test_nothing_published_fails_without_a_finding() -> None:
    found = rows(read((ROOT / "results/matrix").glob("*.json")), projects(), environments())
    assert complaints(found, pages()) == []


def test_the_tables_are_those_of_the_reports() -> None:
    for path, content in table.files(tables_only=True).items():
        assert path.read_text(encoding="utf-8") == content, f"{path}: python -m implementations.table"


def test_the_reports_hold_no_path_of_a_machine() -> None:
    for path in (ROOT / "results/matrix").glob("*.json"):
        assert not re.findall(r"/(?:tmp|root|home|Users)/.{30}", path.read_text(encoding="utf-8")), path


# The page


def test_the_page_links_what_is_known_of_a_reason() -> None:
    known = {KNOWN.expected: Reason("mine-01-wrong", "../docs/findings/mine-01-wrong.md", "high")}
    told = render(report(PASSED, KNOWN), known)
    assert '<span class="muted">high:</span> <a href="../docs/findings/mine-01-wrong.md">mine-01-wrong</a>' in told
    assert '<span class="of">0/1</span>' in told, "what fails as expected does not pass"
    assert '<th scope="col">findings</th>' not in render(report(PASSED, KNOWN)), "nothing is known of it"


def test_the_page_has_the_time_of_a_small_call() -> None:
    told = render(report(measured=(Measured("float32", 1, 1, 1, None, 0.00125),)))
    assert '<td class="num">1.25 ms</td>' in told


def test_a_page_of_many_has_no_pictures_of_each() -> None:
    own = report(
        measured=(Measured("float32", 1, 1, 1, 0.5, 0.001), Measured("float32", 2, 1, 1, 0.5, 0.001))
    ).backends[0]
    many = tuple(replace(own, backend=f"b{k}", own_name=f"b{k}") for k in range(15))
    assert "data-plots" in render(replace(report(), backends=many[:14])).partition("<script")[0]
    assert "<template data-plots" not in render(replace(report(), backends=many))


def test_the_table_of_the_readme() -> None:
    told = table.short(rows([report(PASSED, KNOWN, BAD)], [PROJECT], ENVIRONMENTS), PAGES).splitlines()[-1]
    assert told.startswith("| Mine 1.2.3: [mine](results/README.md) | 1/1 ")
    assert "| 0/1 **✕ without a finding: 1** | 1 high |" in told
