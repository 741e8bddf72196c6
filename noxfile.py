"""Real implementations: build their environments, judge them, run the scripts of the findings.

    nox -s matrix                       everything in implementations/environments.toml, then the table of results/
    nox -s matrix -- runtimes tract     two environments
    nox -s matrix -- runtimes:mlx       one backend of one
    nox -s findings                     each page of docs/findings that belongs to an environment that is built
    nox -s conventions                  docs/conventions.md and docs/porting.md, by running every framework
    nox -s subset                       what CI does: quick runs, findings and conventions in one small environment

A backend that has a report in results/matrix is not judged again until the report is deleted. An environment that does
not install, or a backend that dies, is told at the end and stops no other.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nox

HERE = Path(__file__).parent
ENVIRONMENTS: dict[str, Any] = tomllib.loads((HERE / "implementations/environments.toml").read_text())
BUILT = HERE / ".nox/environments"
REPORTS = HERE / "results/matrix"
COSTS = HERE / "results/environments.json"
CONVENTIONS = HERE / "results/conventions.json"
FINDINGS = HERE / "docs/findings"

#: What CI judges: its backends stand in other environments too.
SUBSET = "subset"


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """Judge the backends that are named, or all, each by a default run in its environment."""
    told: list[str] = []
    for name, backends in _chosen(session.posargs).items():
        missing = [backend for backend in backends if not (REPORTS / f"{backend}.json").exists()]
        python = _interpreter(name, told) if missing else None
        for backend in missing if python else ():
            session.log(f"{name}: {backend}")
            made, options = BUILT / f"{backend}.json", ENVIRONMENTS[name].get("options", [])
            # 0 and 1 are verdicts; otherwise there is no complete report, and the next run tries again.
            status = _suite("conformance", "run", backend, "--python", python, *options, "--json", made)
            if status in (0, 1):
                _suite("implementations.table", "--take", made, "--only-take")
            else:
                told.append(f"{name}: {backend} ended with {status}")
    if _suite("implementations.table"):
        told.append("the table has something that must not be published: see above")
    _suite("implementations.porting.page")
    _end(session, told)


@nox.session(venv_backend="none")
def findings(session: nox.Session) -> None:
    """Run the script of each finding in its environment, and compare what it prints with its page."""
    told: list[str] = []
    for name in _chosen(session.posargs):
        pages = [page for page in sorted(FINDINGS.glob("*.md")) if f"environment: {name}\n" in page.read_text()]
        if python := _interpreter(name, told) if pages else None:
            _findings(name, python, pages, told)
    _end(session, told)


@nox.session(venv_backend="none")
def conventions(session: nox.Session) -> None:
    """Search each framework's convention, judge each one's weights in all others, and write the pages."""
    told: list[str] = []
    pythons = {name: _interpreter(name, told) for name in _chosen(session.posargs)}
    for more in ([], ["--port"]):
        for name, python in pythons.items():
            if python:
                _verify(python, name, *more, told=told)
    _suite("implementations.porting.page")
    _end(session, told)


@nox.session(venv_backend="none")
def subset(session: nox.Session) -> None:
    """Judge backends by quick runs, run their findings' scripts, verify their conventions, in one environment."""
    told: list[str] = []
    if python := _interpreter(SUBSET, told):
        own, report = ENVIRONMENTS[SUBSET], BUILT / f"{SUBSET}.json"
        report.unlink(missing_ok=True)
        options = ["--python", python, "--quick", "--jobs", "2", "--json", report]
        # 0 and 1 are verdicts; what fails may have a finding.
        if (status := _suite("conformance", "run", *own["backends"], *options)) not in (0, 1):
            told.append(f"the quick runs ended with {status}")
        elif _suite("implementations.table", "--judge", report):
            told.append("a failure has no finding: see above")
        pages = sorted({page for pattern in own["findings"] for page in FINDINGS.glob(f"{pattern}.md")})
        _findings(SUBSET, python, pages, told)
        _verify(python, SUBSET, "--check", told=told)
        _verify(python, SUBSET, "--check", "--port", told=told)
    _end(session, told)


def _verify(python: str, name: str, *options: str, told: list[str]) -> None:
    command = [
        python,
        "-m",
        "implementations.porting.verify",
        CONVENTIONS,
        *options,
        "--backends",
        *ENVIRONMENTS[name]["backends"],
    ]
    if subprocess.run(command, cwd=HERE, env=_environment(), check=False).returncode:
        told.append(f"{name}: a convention is not as it is stated: see above")


def _findings(name: str, python: str, pages: list[Path], told: list[str]) -> None:
    if _suite("implementations.findings", "--python", python, *pages):
        told.append(f"{name}: a finding's script does not print what its page says")


def _chosen(arguments: list[str]) -> dict[str, list[str]]:
    """The environments that are named, each with the backends to judge there."""
    chosen: dict[str, list[str]] = {}
    for argument in arguments or (name for name in ENVIRONMENTS if name != SUBSET):
        name, _, backend = argument.partition(":")
        chosen.setdefault(name, []).extend([backend] if backend else ENVIRONMENTS[name]["backends"])
    return chosen


def _folder(name: str) -> Path:
    """An environment's folder: other requirements have another one."""
    text = "\n".join(ENVIRONMENTS[name]["requirements"])
    return BUILT / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _interpreter(name: str, told: list[str]) -> str | None:
    """The environment's interpreter, built where there is none; None, and it is told, if it does not install."""
    folder, wanted = _folder(name), ENVIRONMENTS[name]
    python, log = folder / "bin/python", folder / "install.log"
    if not (folder / "installed").exists():
        begun = os.times()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # The suite is found where it is; the child needs its dependencies only.
        suite = ["numpy", "hypothesis", "psutil", "tabulate", "threadpoolctl", "tqdm", "ml_dtypes"]
        commands: list[list[Any]] = [[sys.executable, "-m", "venv", folder]]
        commands.append([python, "-m", "pip", "install", *suite, *wanted["requirements"]])
        for packages in wanted.get("npm", ()):
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            commands.append(["npm", "install", *options, "--prefix", HERE / packages])
        with log.open("w") as output:
            for command in commands:
                try:
                    failed = subprocess.run(
                        command, stdout=output, stderr=output, env=_environment(), check=False
                    ).returncode
                except OSError as error:
                    failed = str(error)
                if failed:
                    told.append(f"{name}: not installed ({failed}), see {log.relative_to(HERE)}")
                    return None
        (folder / "installed").touch()
        ended = os.times()
        spent = ended.children_user - begun.children_user + ended.children_system - begun.children_system
        _record(name, folder, spent)
    return str(python)


def _record(name: str, folder: Path, seconds: float) -> None:
    """Keep the bytes and the CPU seconds that an environment took, for the table."""
    costs = json.loads(COSTS.read_text()) if COSTS.exists() else {}
    size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink())
    costs[name] = {"bytes": size, "seconds": round(seconds)}
    COSTS.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n")


def _environment() -> dict[str, str]:
    """The variables of this process, without what would bring its packages into another Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _suite(module: str, *arguments: object) -> int:
    """The exit status of one of the project's own commands."""
    return subprocess.run([sys.executable, "-m", module, *map(str, arguments)], cwd=HERE, check=False).returncode


def _end(session: nox.Session, told: list[str]) -> None:
    if told:
        session.error("\n".join(told))
