"""Write the table of real implementations: results/README.md, the page results/index.html, and the table in README.md.

python -m implementations.table              from results/matrix/*.json
python -m implementations.table --check      write nothing; 1 if a table is stale or must not be published
python -m implementations.table --take FILE… put reports into results/matrix first; --only-take nothing else
python -m implementations.table --judge FILE… only say what fails without a finding in these reports, of any budget
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from conformance.report.data import dumps, loads
from conformance.report.merging import Part, merge
from conformance.report.model import Report
from conformance.report.page import render
from conformance.report.page.backends import Reason
from implementations.matrix import (
    ROOT,
    SEVERITIES,
    Project,
    Row,
    Share,
    complaints,
    environments,
    name_of,
    pages,
    projects,
    read,
    rows,
)

RESULTS = ROOT / "results"
REPORTS = RESULTS / "matrix"

#: What each environment took, as noxfile.py measures it.
COSTS = RESULTS / "environments.json"

#: The lines between which the table stands in README.md.
BEGIN, END = "<!-- table: python -m implementations.table -->", "<!-- end of table -->"

#: A path of the machine on which a report was made, up to what is the same everywhere.
_PATHS = re.compile(r"/(?:[\w.@+-]+/)+(?=(?:site-packages|implementations|conformance|python3\.\d+)/|bin/python)")

Pages = Mapping[str, Mapping[str, str]]


# Cells


def link(id: str, pages: Pages, folder: str) -> str:
    """A finding, by the name of the library and its number, linked to its page."""
    return f"[{numbered(id)}]({folder}{id}.md)" if id in pages else id


def numbered(id: str) -> str:
    """A finding's name without what it is about."""
    number = re.match(r".*?-\d+(?=-|$)", id)
    return number[0] if number else id


def counted(ids: Sequence[str], pages: Pages) -> str:
    """How many findings there are of each severity: "2 high, 1 low"."""
    count = Counter(pages[id]["severity"] for id in ids if id in pages)
    return ", ".join(f"{count[word]} {word}" for word in SEVERITIES if count[word]) or "–"


def by_severity(ids: Sequence[str], pages: Pages, folder: str) -> str:
    """The findings, the worst first, each linked to its page."""
    told = []
    for word in SEVERITIES:
        own = [link(id, pages, folder) for id in ids if id in pages and pages[id]["severity"] == word]
        told += [f"{word}: {', '.join(own)}"] if own else []
    return "; ".join(told) or "–"


def share(found: Share) -> str:
    """How many hold of those that were asked: "7/8", with those that fail without a finding."""
    told = f"{found.good}/{found.asked}" if found.asked else "–"
    return f"{told} **✕ without a finding: {len(found.unexplained)}**" if found.unexplained else told


def computes(row: Row) -> str:
    """The first question's share, the level and the dtypes."""
    told = [share(row.shares["computes"]), row.level or "no level", ", ".join(row.dtypes) or "structure only"]
    return "; ".join(told)


def call(row: Row) -> str:
    """The time of a small call."""
    if row.call is None:
        return "–"
    return f"{1000 * row.call:.2g} ms" if row.call < 0.1 else f"{1000 * row.call:.0f} ms"


def margin(row: Row) -> str:
    """The largest error of the values as a share of its bound."""
    return "–" if row.margin is None else f"{row.margin:.2f}"


#: What the outcome of `refusals.undeclared` says of undeclared options. It is not declared where there are none.
_UNDECLARED = {"passed": "refused or right", "expected failure": "a finding", "not declared": "none"}


def undeclared(row: Row) -> str:
    """What became of undeclared options."""
    return _UNDECLARED.get(row.undeclared, f"**{row.undeclared}**")


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


# Tables


def summary(found: Sequence[Row], known: Sequence[Project], pages: Pages) -> str:
    """How many implementations of how many projects there are, in two sentences."""
    judged = {row.backend for row in found}
    kernels = sum(bool(judged & set(kernel)) for project in known for kernel in project.kernels)
    of = len({row.project for row in found})
    failing = [row for row in found if row.unexplained]
    told = (
        f"{len(found)} implementations ({kernels} kernels) of {of} project{'s' * (of != 1)}, and {len(pages)} findings"
    )
    end = f"{len(failing)} fail something without a finding" if failing else "no failure is without a finding"
    return f"{told}: {counted(list(pages), pages)}. In this table {end}."


def short(found: Sequence[Row], pages: Pages) -> str:
    """The table of README.md."""
    lines = [_line("implementation", "computes", "edges", "guards", "findings", "a small call", "accuracy")]
    lines.append("|---|---|---|---|---|--:|--:|")
    for row in found:
        cells = [f"{row.project} {row.version}: [{row.backend}](results/README.md)"]
        cells += [f"{share(row.shares['computes'])} {row.level}", *(share(row.shares[q]) for q in ("edges", "guards"))]
        lines.append(_line(*cells, counted(row.findings, pages), call(row), margin(row)))
    return "\n".join(lines)


def long(found: Sequence[Row], known: Sequence[Project], pages: Pages) -> Iterator[str]:
    """The table of results/README.md: a line for each project, and one for each of its backends."""
    folder, of = "../docs/findings/", {project.name: project for project in known}
    heads = ("implementation", "computes", "edges", "guards", "undeclared options", "findings", "a small call")
    yield _line(*heads, "accuracy", "judged")
    yield "|---|---|---|---|---|---|--:|--:|---|"
    last = ""
    for row in found:
        if row.project != last and (project := of.get(row.project)):
            last, own = row.project, [id for id in pages if id.startswith(project.findings)]
            name = f"**[{project.name}]({project.url})** {row.version}"
            yield _line(name, "", "", "", "", f"all: {by_severity(own, pages, folder)}", "", "", "")
        worst = sorted(row.findings, key=lambda id: SEVERITIES.index(pages[id]["severity"]) if id in pages else -1)
        told = ", ".join(link(id, pages, folder) for id in worst) or "–"
        told += f"; **unexpected passes: {', '.join(row.unexpected)}**" if row.unexpected else ""
        name = f"[{row.backend}](index.html#view=backend&backend={row.backend})"
        day = row.day + (f" **{row.partial}**" if row.partial else "")
        cells = [name, computes(row), share(row.shares["edges"]), share(row.shares["guards"]), undeclared(row), told]
        yield _line(*cells, call(row), margin(row), day)


def costs(found: Sequence[Row], envs: Mapping[str, Any], taken: Mapping[str, Any]) -> Iterator[str]:
    """The table of environments: what each takes, of what was measured."""
    yield _line("environment", "disk", "install", "runs", "from Debian", "judges")
    yield "|---|--:|--:|--:|---|---|"
    seconds = {row.backend: row.seconds for row in found}
    for name, own in envs.items():
        judged = [seconds[backend] for backend in own["backends"] if backend in seconds]
        runs = f"{sum(judged) / 60:.0f} min" if judged else "–"
        apt = ", ".join(own.get("apt", ())) or "–"
        cost = taken.get(name, {})
        disk = f"{cost['bytes'] / 1e9:.1f} GB" if "bytes" in cost else "–"
        install = f"{cost['seconds']} CPU s" if "seconds" in cost else "–"
        yield _line(name, disk, install, runs, apt, ", ".join(own["backends"]))


def page(found: Sequence[Row], known: Sequence[Project], pages: Pages, envs: Mapping[str, Any], head: str) -> str:
    """results/README.md."""
    unexplained = [f"- {row.backend}: {', '.join(row.unexplained)}" for row in found if row.unexplained]
    lines = [
        "# Real implementations",
        "",
        summary(found, known, pages),
        "",
        "[index.html](index.html) is the same as a page with every property; open it from a clone.",
        "[not-judged.md](not-judged.md) tells what could not be had, and why.",
        "",
        *long(found, known, pages),
        "",
        *(["Without a finding:", "", *unexplained, ""] if unexplained else []),
        EXPLAINED,
        "",
        "## Make it again",
        "",
        head,
        "",
        *costs(found, envs, json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}),
        "",
    ]
    return "\n".join(lines)


EXPLAINED = """- *computes*, *edges*, *guards*: how many properties pass, of those that were asked. The others fail, or
  could not be judged on all of their cases, as their findings say. The level and the dtypes are those of
  [docs/backends.md](../docs/backends.md#levels).
- *undeclared options*: each option that the adapter does not declare was tried. "refused or right" says that each
  is refused, or right after all; "a finding" that a page tells which is not; "none" that everything is declared.
- *findings*: the pages that this implementation's failures name; in a project's line, all that it has.
- *a small call*: the median seconds of the run's calls in float32 of at most 8 steps and 16 units, whatever their
  other options. The adapter's conversions are in it, and some compilations of what compiles. Two cores, which were
  busy with other runs: compare orders of magnitude.
- *accuracy*: the largest error of the properties on values, as a share of what rounding explains; 1 is the limit."""

HOW = """`nox -s matrix` builds each environment, judges what has no report in [matrix/](matrix), and writes this page.
Delete a report to have it made again. A run is `lstm-conformance run NAME --json FILE` with the usual budget, seed
0. *runs* is the wall-clock time of all runs in the environment."""


# Files


def portable(report: Report) -> Report:
    """The report without what only the machine on which it was made can use: its paths."""
    asked = replace(report.asked, command=("run", *report.asked.targets))
    return loads(_PATHS.sub("", dumps(replace(report, asked=asked))))


def files(tables_only: bool = False) -> dict[Path, str]:
    """What the command writes, by path; the page too, unless ``tables_only``."""
    known, envs, told = projects(), environments(), pages()
    reports = read(REPORTS.glob("*.json"))
    found = rows(reports, known, envs)
    written = {RESULTS / "README.md": page(found, known, told, envs, HOW)}
    if reports and not tables_only:
        worst = sorted(told, key=lambda id: (SEVERITIES.index(told[id]["severity"]), id))
        reasons = {
            f"docs/findings/{id}.md": Reason(numbered(id), f"../docs/findings/{id}.md", told[id]["severity"])
            for id in worst
        }
        whole = merge([Part(report.backends[0].backend, report) for report in reports])
        order = {row.backend: at for at, row in enumerate(found)}
        backends = sorted(whole.backends, key=lambda own: order.get(name_of(own), len(order)))
        written[RESULTS / "index.html"] = render(replace(whole, backends=tuple(backends)), reasons)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        table = f"{summary(found, known, told)}\n\n{short(found, told)}"
        written[readme] = f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
    return written


def main() -> int:
    """Write or check the files, and tell what must not be published; 1 if there is such a thing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only-take", action="store_true")
    parser.add_argument("--take", nargs="+", type=Path, default=[], metavar="FILE")
    parser.add_argument("--judge", nargs="+", type=Path, default=[], metavar="FILE")
    given = parser.parse_args()
    if given.judge:
        wrong = complaints(rows(read(given.judge), projects(), environments()), pages(), strict=False)
        print("\n".join(wrong) or "no failure is without a finding")
        return min(len(wrong), 1)
    REPORTS.mkdir(parents=True, exist_ok=True)
    for path in given.take:
        report = portable(loads(path.read_text(encoding="utf-8")))
        for own in report.backends:
            (REPORTS / f"{name_of(own)}.json").write_text(dumps(replace(report, backends=(own,))) + "\n", "utf-8")
    if given.only_take:
        return 0
    told = complaints(rows(read(REPORTS.glob("*.json")), projects(), environments()), pages())
    for path, text in files(tables_only=given.check).items():
        if not given.check:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            told.append(f"{path.relative_to(ROOT)} is stale: python -m implementations.table")
    print("\n".join(told))
    return min(len(told), 1)


if __name__ == "__main__":
    sys.exit(main())
