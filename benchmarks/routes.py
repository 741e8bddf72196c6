"""Are trained models judged from their files, and wrong conversions found? ``python -m benchmarks.routes FOLDER``.

It trains five small models, exports each by every route that can express it, and runs on each file what a user runs:
``lstm-conformance run FILE --weights TRAINED --quick``. Every LSTM must be found, its weights be those that were
trained, and no property fail. Then it plants each kind of wrong conversion in the weights before the export: each must
be *found* (its weights are called wrong, which makes the exit code 1) and *named* (each tensor, what became of it, and
nothing else), and it is told in how many files it shows in the *values*, too.

A route is taken in the first environment that has its packages: this one, or one of ``--python``. What stands in
FOLDER is not done again. Exit code 1 if a right export is not called right, or a mistake is not found and named; a
route that is installed nowhere is told, and does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tabulate import tabulate

from benchmarks.routes_files import ROUTES, TRAINED, Route
from benchmarks.routes_mistakes import HIDDEN, MISTAKES, Mistake, named
from conformance.facts.weights import WeightsCompared
from conformance.report.data import loads
from conformance.report.model import Report
from conformance.report.records import decode
from conformance.targets import exported

ROOT = Path(__file__).parents[1]


class Here(NamedTuple):
    """A route, with the interpreters that write and that judge its files."""

    name: str
    route: Route
    writes: str
    judges: str

    def file(self, folder: Path, stem: str) -> Path:
        """The file of a model."""
        own = "".join(letter if letter.isalnum() else "-" for letter in self.name.lower())
        return folder / own / f"{stem.replace(' ', '-')}.{self.route.ending}"


@cache
def _has(python: str, packages: tuple[str, ...]) -> bool:
    """Whether an environment has packages, and what the suite itself needs."""
    code = f"import importlib.util as u, sys; sys.exit(not all(u.find_spec(name) for name in {packages!r}))"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def _found(pythons: Sequence[str]) -> tuple[list[Here], list[tuple[str, str]]]:
    """The routes that can be taken, and for each of the others what is installed in none of the environments."""
    here, lacking = [], []
    for name, route in ROUTES.items():
        places = [
            next((python for python in pythons if _has(python, ("numpy", *packages))), "")
            for packages in (route.writes, ("hypothesis", *route.judges))
        ]
        if all(places):
            here.append(Here(name, route, *places))
        else:
            packages = route.judges if places[0] else route.writes
            lacking.append((name, " and ".join(packages)))
    return here, lacking


def _write(python: str, tasks: Iterable[Sequence[object]], folder: Path) -> None:
    """Have an environment write the files that are not there."""
    left = [told for task in tasks if not Path((told := [*map(str, task)])[3]).exists()]
    for task in left:
        Path(task[3]).parent.mkdir(parents=True, exist_ok=True)
    if left:
        path = folder / f"tasks-{os.getpid()}.json"
        path.write_text(json.dumps(left), encoding="utf-8")
        _ran(python, "benchmarks.routes_files", path)


def _ran(python: str, module: str, *paths: Path) -> None:
    """Run a module of the benchmarks in an environment."""
    command = [python, "-m", module, *(str(path.resolve()) for path in paths)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if told.returncode:
        raise SystemExit(f"{' '.join(command)}\n{told.stderr[-2000:]}")


def _judged(python: str, file: Path, weights: Path, report: Path) -> tuple[int, Report]:
    """The exit code and the report of the command line on a model's file, from the folder of the weights."""
    code = report.with_suffix(".code")
    if not code.exists():
        words = ["run", os.path.relpath(file, weights.parent), "--weights", weights.name, "--quick"]
        words += ["--diagnose", "0", "--json", str(report.resolve()), "--python", python]
        if report.exists():
            words = ["run", "--resume", str(report.resolve())]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "conformance", *words]
        told = subprocess.run(command, cwd=weights.parent, env=environment, capture_output=True, text=True)
        if told.returncode not in (0, 1):
            raise SystemExit(f"{' '.join(words)}\n{told.stderr[-2000:]}")
        code.write_text(str(told.returncode), encoding="utf-8")
    return int(code.read_text(encoding="utf-8")), loads(report.read_text(encoding="utf-8"))


# Right exports


def _right(here: Sequence[Here], folder: Path) -> bool:
    """Judge every model from the file of every route; a row for each route."""
    rows, good = [], True
    for each in here:
        models = [model for model in TRAINED if model not in each.route.lacks]
        weights = {model: folder / f"{model}.npz" for model in models}
        _write(
            each.writes, ([each.name, m, weights[m].resolve(), each.file(folder, m).resolve()] for m in models), folder
        )
        cells = []
        for model in models:
            file = each.file(folder, model)
            code, report = _judged(each.judges, file, weights[model], file.with_suffix(".json"))
            compared = report.asked.weights
            alike = ", ".join(dict.fromkeys(str(one.likeness) for one in compared))
            fail = f", {len(report.failures)} fail" if report.failures else ""
            cells.append(f"{len(compared)} {alike}, {len(report.backends)} judged{fail}")
            good &= code == 0
        lacks = iter(cells)
        rows.append([each.name, *(each.route.lacks.get(m) or next(lacks) for m in TRAINED)])
    print("LSTMs found in the file, how their weights compare, and LSTMs × runtimes judged\n")
    print(tabulate(rows, ["route", *TRAINED], tablefmt="github"), end="\n\n")
    return good


# Wrong conversions


class Seen(NamedTuple):
    """What became of a planted mistake on one route."""

    found: bool
    named: bool
    values: bool


def _plant(mistake: Mistake, trained: Path, file: Path) -> None:
    with np.load(trained) as loaded:
        weights = dict(loaded)
    mistake.change(weights)
    if mistake.exported:
        weights = {name: value for name, value in weights.items() if "_l1" not in name}
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, allow_pickle=False, **weights)


def _wrong(here: Sequence[Here], folder: Path) -> bool:
    """Plant every mistake on every route that can express its model; a row for each mistake."""
    seen: dict[str, list[Seen]] = {id: [] for id in MISTAKES}
    failed = []
    for each in here:
        chosen = {id: one for id, one in MISTAKES.items() if one.model not in each.route.lacks}
        tasks = []
        for id, mistake in chosen.items():
            planted = folder / "planted" / f"{id.replace(' ', '-')}.npz"
            _plant(mistake, folder / f"{mistake.model}.npz", planted)
            model = mistake.exported or mistake.model
            tasks.append([each.name, model, planted.resolve(), each.file(folder, f"wrong {id}").resolve()])
        _write(each.writes, tasks, folder)
        files = {id: each.file(folder, f"wrong {id}") for id in chosen}
        told = _compared(each, {files[id]: folder / f"{one.model}.npz" for id, one in chosen.items()}, folder)
        for id, mistake in chosen.items():
            seen[id].append(became := _seen(mistake, told[str(files[id].resolve())]))
            right = (each.name, id) not in HIDDEN
            if (became.found, became.named) != (right and mistake.wrong, right):
                failed.append(f"{each.name}: {id}")
    rows = [
        [id, MISTAKES[id].statement, *(f"{sum(part)} of {len(part)}" for part in zip(*told, strict=True))]
        for id, told in seen.items()
        if told
    ]
    count = sum(len(told) for id, told in seen.items() if MISTAKES[id].wrong)
    print(f"Wrong conversions planted, {count} in all: on how many routes\n")
    print(tabulate(rows, ["kind", "", "found", "named", "wrong values"], tablefmt="github"), end="\n\n")
    for (name, id), why in HIDDEN.items():
        if name in (each.name for each in here):
            print(f"cannot be found: {id}, {name}: {why}")
    print("".join(f"not as it must be: {each}\n" for each in failed), end="")
    return not failed


def _compared(here: Here, files: Mapping[Path, Path], folder: Path) -> dict[str, Any]:
    """What the environment of a route says of files, each beside its trained weights, by their names."""
    results = here.file(folder, "planted").with_suffix(".json")
    if not results.exists():
        names = {str(file.resolve()): str(weights.resolve()) for file, weights in files.items()}
        place = exported.located(next(iter(names)))
        tasks = folder / f"tasks-{os.getpid()}.json"
        tasks.write_text(json.dumps({"place": place, "files": names}), encoding="utf-8")
        _ran(here.judges, "benchmarks.routes_judge", tasks, results)
    return json.loads(results.read_text(encoding="utf-8"))


def _seen(mistake: Mistake, told: Mapping[str, Any]) -> Seen:
    compared = [decode(WeightsCompared, each) for each in told["compared"]]
    found = any(each.likeness.wrong for each in compared)
    return Seen(found, named(mistake, compared), told["wrong values"])


def main() -> int:
    """Print both tables, and what is not installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the files and reports, which are used again")
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="another environment to use")
    options = parser.parse_args()
    pythons = [sys.executable, *options.python]
    here, lacking = _found(pythons)
    trainer = next((python for python in pythons if _has(python, ("numpy", "torch"))), "")
    if not trainer:
        parser.error("torch is in none of the environments, with which the models are trained")
    options.folder.mkdir(parents=True, exist_ok=True)
    _write(trainer, (["train", m, "", (options.folder / f"{m}.npz").resolve()] for m in TRAINED), options.folder)
    good = _right(here, options.folder)
    good &= _wrong(here, options.folder)
    for name, packages in lacking:
        print(f"not installed: {packages}, for {name}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
