"""The reports of real implementations as rows: whose it is, what holds, what it costs, and what has no finding."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.facts import Outcome
from conformance.properties.model import QUESTIONS
from conformance.report.data import loads
from conformance.report.levels import reached
from conformance.report.model import BackendReport, Report
from conformance.report.summary import small_call
from implementations.findings import header

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = ROOT / "docs/findings"

#: How bad a finding is for a user, the worst first.
SEVERITIES = ("high", "medium", "low")


@dataclass(frozen=True)
class Project:
    """Whom the backends belong to."""

    name: str
    url: str
    package: str
    findings: tuple[str, ...]
    #: Backends by kernel: variants of one kernel stand together.
    kernels: tuple[tuple[str, ...], ...]

    @property
    def backends(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(backend for kernel in self.kernels for backend in kernel)


@dataclass(frozen=True)
class Share:
    """How many properties of a question hold, of those that were asked."""

    good: int
    asked: int
    #: The ids of those that fail, and that no finding explains.
    unexplained: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """What the table says of one backend."""

    backend: str
    project: str
    version: str
    level: str
    dtypes: tuple[str, ...]
    #: By question.
    shares: dict[str, Share]
    #: The pages that its expected failures name, by id.
    findings: tuple[str, ...]
    #: The properties that it was expected to fail, and passes.
    unexpected: tuple[str, ...]
    #: What became of the property that undeclared options are refused, or right.
    undeclared: str
    #: The median seconds of a small call, or None.
    call: float | None
    #: The largest error of the properties on values as a share of its bound, or None.
    margin: float | None
    #: When the run ended: a day.
    day: str
    seconds: float
    #: Why it is no verdict of a default run, or nothing.
    partial: str

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The ids of the properties that fail without a finding."""
        return tuple(id for share in self.shares.values() for id in share.unexplained)


def projects(path: Path = HERE / "projects.toml") -> list[Project]:
    """The projects of the file, by name."""
    found = []
    for name, own in tomllib.loads(path.read_text(encoding="utf-8")).items():
        kernels = tuple(tuple(kernel.split()) for kernel in own["kernels"])
        found.append(Project(name, own["url"], own["package"], tuple(own["findings"]), kernels))
    return sorted(found, key=lambda project: project.name.lower())


def environments(path: Path = HERE / "environments.toml") -> dict[str, Any]:
    """The environments of the file, by name."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def pages(folder: Path = PAGES) -> dict[str, dict[str, str]]:
    """The facts of each finding's page, by its id; ``severity`` is the word alone."""
    found = {
        path.stem: header(path.read_text(encoding="utf-8")) for path in folder.glob("*.md") if path.stem != "README"
    }
    return {id: facts | {"severity": facts["severity"].partition(":")[0]} for id, facts in sorted(found.items())}


def pinned(package: str, backend: str, envs: Mapping[str, Any]) -> str:
    """The version of a package, or of one of the backend's own name, in its environment; nothing if no pin tells it.

    pip's pins are ``name==version``, Debian's ``name=version``; npm's stand in a folder's package.json.
    """
    for environment in envs.values():
        if backend in environment["backends"]:
            pins = [
                pin.replace("==", "=").split("=") for pin in (*environment["requirements"], *environment.get("apt", ()))
            ]
            found = {pin[0].partition("[")[0].lower(): pin[-1] for pin in pins if len(pin) == 2}
            for folder in environment.get("npm", ()):
                found |= json.loads((ROOT / folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
            return found.get(backend) or found.get(package.lower(), "")
    return ""


def rows(reports: Iterable[Report], known: Iterable[Project], envs: Mapping[str, Any]) -> list[Row]:
    """A row for each backend of the reports that could run, by project, in the projects' order; of none, last."""
    place = {backend: (at, project) for at, project in enumerate(known) for backend in project.backends}
    found = []
    for report in reports:
        for own in report.backends:
            if own.available:
                name = name_of(own)
                at, project = place.get(name, (len(place), None))
                order = project.backends.index(name) if project else 0
                found.append(((at, order, name), _row(report, own, project, envs)))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def name_of(own: BackendReport) -> str:
    """The name that a backend has in the files: that which it gave itself, also of a program."""
    return own.own_name or own.backend


def _row(report: Report, own: BackendReport, project: Project | None, envs: Mapping[str, Any]) -> Row:
    level, _ = reached(own)
    name = name_of(own)
    package = project.package if project else name
    version = pinned(package, name, envs) or own.frameworks.get(package, "")
    named = (v.expected.rpartition("/")[2].removesuffix(".md") for v in own.verdicts if v.expected)
    undeclared = next((v for v in own.verdicts if v.property == "refusals.undeclared"), None)
    values = (v.margin for v in own.verdicts if v.property.startswith("values.") and v.margin is not None)
    return Row(
        backend=name,
        project=project.name if project else "",
        version=version,
        level=level,
        dtypes=own.dtypes,
        shares={question: _share(own, question) for question in QUESTIONS},
        findings=tuple(dict.fromkeys(named)),
        unexpected=tuple(v.property for v in own.verdicts if v.outcome == Outcome.UNEXPECTED_PASS),
        undeclared=str(undeclared.outcome) if undeclared else "not asked",
        call=small_call(own),
        margin=max(values, default=None),
        day=report.ended.partition("T")[0],
        seconds=own.seconds,
        partial=_partial(report, own),
    )


def _share(own: BackendReport, question: str) -> Share:
    asked = own.asked(question)
    # An unexpected pass is bad too, and it is told apart.
    bad = (v.property for v in asked if v.outcome.bad and v.outcome != Outcome.UNEXPECTED_PASS)
    return Share(sum(v.outcome == Outcome.PASSED for v in asked), len(asked), tuple(bad))


def _partial(report: Report, own: BackendReport) -> str:
    if own.quick:
        return "a quick run"
    if not own.complete or not report.complete:
        return "a run that did not come to its end"
    if report.asked.only or report.asked.exclude:
        return "a run of some properties"
    return f"a run of {report.cases} cases" if report.cases < 100 else ""


def complaints(found: Iterable[Row], known_pages: Iterable[str], strict: bool = True) -> list[str]:
    """What must not be in a published table, in lines; without ``strict``, runs may be partial."""
    told, there = [], set(known_pages)
    for row in found:
        told += [f"{row.backend} fails without a finding: {', '.join(row.unexplained)}"] if row.unexplained else []
        # A run of few cases need not meet what is expected to fail.
        passes = row.unexpected if strict or not row.partial else ()
        told += [f"{row.backend} is expected to fail, and passes: {', '.join(passes)}"] if passes else []
        told += [f"{row.backend}: docs/findings/{id}.md does not exist" for id in row.findings if id not in there]
        told += [f"{row.backend}: {row.partial}"] if strict and row.partial else []
        told += [f"{row.backend}: no project in implementations/projects.toml"] if not row.project else []
    return told


def read(paths: Iterable[Path]) -> list[Report]:
    """The reports in files."""
    return [loads(path.read_text(encoding="utf-8")) for path in sorted(paths)]
