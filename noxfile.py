"""Real implementations: build their environments, judge them, run the scripts of the findings.

    nox -s matrix                       everything in implementations/environments.toml
    nox -s matrix -- runtimes tract     two environments
    nox -s matrix -- runtimes:mlx       one backend of one
    nox -s findings                     each page of docs/findings that belongs to an environment that is built

A backend that has a report in results/matrix is not judged again until the report is deleted. An environment that does
not install, or a backend that dies, is told at the end and stops no other.
"""

from __future__ import annotations

import hashlib
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
FINDINGS = HERE / "docs/findings"


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """Judge the backends that are named, or all, each by a default run in its environment."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    told: list[str] = []
    for name, backends in _chosen(session.posargs).items():
        missing = [backend for backend in backends if not (REPORTS / f"{backend}.json").exists()]
        if not missing:
            continue
        python = _interpreter(name)
        if python is None:
            told.append(f"{name}: not installed, see {_folder(name) / 'install.log'}")
            continue
        for backend in missing:
            report, options = REPORTS / f"{backend}.json", ENVIRONMENTS[name].get("options", [])
            command = [sys.executable, "-m", "conformance", "run", backend, "--python", python, *options]
            session.log(f"{name}: {backend}")
            # 0 and 1 are verdicts; otherwise there is no complete report, and the next run tries again.
            status = subprocess.run([*command, "--json", report], cwd=HERE, check=False).returncode
            if status not in (0, 1):
                report.unlink(missing_ok=True)
                told.append(f"{name}: {backend} ended with {status}")
    _end(session, told)


@nox.session(venv_backend="none")
def findings(session: nox.Session) -> None:
    """Run the script of each finding in its environment, and compare what it prints with its page."""
    told: list[str] = []
    for name in _chosen(session.posargs):
        pages = [page for page in sorted(FINDINGS.glob("*.md")) if f"environment: {name}\n" in page.read_text()]
        python = _interpreter(name) if pages else None
        if pages and python is None:
            told.append(f"{name}: not installed, see {_folder(name) / 'install.log'}")
        elif pages:
            command = [sys.executable, "-m", "implementations.findings", "--python", python, *pages]
            if subprocess.run(command, cwd=HERE, check=False).returncode:
                told.append(f"{name}: a finding's script does not print what its page says")
    _end(session, told)


def _chosen(arguments: list[str]) -> dict[str, list[str]]:
    """The environments that are named, each with the backends to judge there."""
    chosen: dict[str, list[str]] = {}
    for argument in arguments or ENVIRONMENTS:
        name, _, backend = argument.partition(":")
        chosen.setdefault(name, []).extend([backend] if backend else ENVIRONMENTS[name]["backends"])
    return chosen


def _folder(name: str) -> Path:
    """An environment's folder: other requirements have another one."""
    text = "\n".join(ENVIRONMENTS[name]["requirements"])
    return BUILT / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _interpreter(name: str) -> str | None:
    """The environment's interpreter, built where there is none; None if it does not install."""
    folder, wanted = _folder(name), ENVIRONMENTS[name]
    python, log = folder / "bin/python", folder / "install.log"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        # The suite is found where it is; the child needs its dependencies only.
        suite = ["numpy", "hypothesis", "psutil", "tabulate", "threadpoolctl", "tqdm", "ml_dtypes"]
        with log.open("w") as output:
            command = [python, "-m", "pip", "install", *suite, *wanted["requirements"]]
            packages = [["npm", "install", "--prefix", HERE / path] for path in wanted.get("npm", [])]
            for install in [command, *packages]:
                if subprocess.run(install, stdout=output, stderr=output, check=False).returncode:
                    return None
        (folder / "installed").touch()
    return str(python)


def _end(session: nox.Session, told: list[str]) -> None:
    if told:
        session.error("\n".join(told))
