"""How small a defect is still seen? ``python -m benchmarks.sensitivity``, resumable.

Defects with a level ε are built into the correct LSTM. Each is judged by a default run of this suite that stops at its
first failure, and by three fixed tolerances on the whole results of that run's cases beside the float64 oracle's.
Going down from ε = 0.1 in steps of √10, the level before the first that escapes is the smallest that is detected.

A fixed tolerance accuses correct LSTMs too. So a judge detects a defect if it accuses it on more cases than any of the
correct implementations, which for this suite is one case.

What is measured is appended to results/sensitivity.jsonl and not measured again; once it is whole, docs/sensitivity.md
and its plot are written.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.false_alarms import recorded
from conformance import strategies
from conformance.backend import Backend
from conformance.case import realise
from conformance.covering import fixed_set
from conformance.engine import Settings, conform
from conformance.faults import DIFFERENT
from conformance.faults import twin as correct
from conformance.faults.equations import celled, gate
from conformance.faults.fault import FULL
from conformance.faults.numerics import half, half_accumulated, rounded_dot, significand
from conformance.faults.parameters import each, through
from conformance.faults.twin import Transform, Twin, Whole
from conformance.hunt import search
from conformance.properties.layout import Oracle, oracle_result
from conformance.recipe import Recipe
from conformance.registry import find
from conformance.report.model import BAD
from conformance.run import environment
from conformance.spec import Array, LSTMConfig, Result, State
from conformance.trial import Trial

RESULTS = Path("results/sensitivity.jsonl")
PAGE = Path("docs/sensitivity.md")
PLOT = Path("docs/sensitivity.svg")

DTYPES = ("float32", "float64")
OURS = "this suite"

#: rtol and atol for each dtype: NumPy's defaults, torch's defaults, and those of the ONNX project's node tests.
TOLERANCES: dict[str, dict[str, tuple[float, float]]] = {
    "assert_close": {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)},
    "np.allclose": dict.fromkeys(DTYPES, (1e-5, 1e-8)),
    "rtol 1e-3": dict.fromkeys(DTYPES, (1e-3, 1e-7)),
}

#: The correct implementations by which false alarms are counted.
CORRECT = (
    *("twin", "reversed-sums", "sigmoid-by-tanh", "activations-3-ulps-off"),
    *("numpy", "torch-loop", "torch-nn"),
)

#: Whose levels are compared.
JUDGES = (OURS, *TOLERANCES)

#: The levels, each √10 below the one before.
LEVELS = tuple(10 ** (-k / 2) for k in range(2, 33))


# Defects


@dataclass(frozen=True)
class Defect:
    """A defect of size ε; one without a size of its own has a single level, its format's unit roundoff."""

    name: str
    twin: Callable[[float], Twin]
    levels: tuple[float, ...] = LEVELS
    dtypes: tuple[str, ...] = DTYPES


def one_element(name: str, change: Callable[[float, float], float]) -> Callable[[float], Twin]:
    """The first element of a parameter, a weight or bias of the input gate, changed."""

    def at(e: float) -> Twin:
        def changed(config: LSTMConfig, key: str, value: Array) -> Array:
            value = value.copy()
            value.flat[0] = change(value.flat[0], e)
            return value

        return each(changed, name)

    return at


def _h_0(e: float) -> Twin:
    def state(config: LSTMConfig, state: State) -> State:
        return state[0] * (1 + e), state[1]

    return Twin(transform=Transform(state=state))


def _h_n(e: float) -> Twin:
    def result(config: LSTMConfig, result: Whole) -> Whole:
        return result._replace(h_n=result.h_n * (1 + e))

    return Twin(transform=Transform(result=result))


def _last_output(e: float) -> Twin:
    def result(config: LSTMConfig, result: Whole) -> Whole:
        output = result.output.copy()
        output[-1] *= 1 + e
        return result._replace(output=output)

    return Twin(transform=Transform(result=result))


DEFECTS = (
    Defect("one weight of W_hh · (1 + ε)", one_element("weight_hh_l0", lambda w, e: w * (1 + e))),
    Defect("one weight of W_ih · (1 + ε)", one_element("weight_ih_l0", lambda w, e: w * (1 + e))),
    Defect("one bias b_hh + ε", one_element("bias_hh_l0", lambda b, e: b + e)),
    Defect("tanh(a) · (1 + ε)", lambda e: Twin(tanh=lambda a: np.tanh(a) * (1 + e))),
    Defect("tanh(a · (1 + ε))", lambda e: Twin(tanh=lambda a: np.tanh(a * (1 + e)))),
    Defect("σ(a) · (1 + ε)", lambda e: Twin(sigmoid=lambda a: correct.sigmoid(a) * (1 + e))),
    Defect("σ(a · (1 + ε))", lambda e: Twin(sigmoid=lambda a: correct.sigmoid(a * (1 + e)))),
    Defect("forget gate f · (1 − ε)", lambda e: gate(1, lambda f: f * (1 - e))),
    Defect("cell leaks, c · (1 − ε)", lambda e: celled(lambda c: c * (1 - e))),
    Defect("initial state h_0 · (1 + ε)", _h_0),
    Defect("final state h_n · (1 + ε)", _h_n),
    Defect("last output · (1 + ε)", _last_output),
    Defect("cell in bfloat16", lambda e: celled(significand(7)), (2.0**-8,)),
    Defect("cell in float16", lambda e: celled(half), (2.0**-11,)),
    Defect("forget gate in float16", lambda e: gate(1, half), (2.0**-11,)),
    Defect("weights in float16", lambda e: each(through("float16"), "weight"), (2.0**-11,)),
    Defect("TF32 products", lambda e: rounded_dot(significand(10)), (2.0**-11,)),
    Defect("float16 accumulation", lambda e: Twin(dot=half_accumulated), (2.0**-11,)),
    Defect("all in float32", lambda e: Twin(precision=lambda config: "float32"), (2.0**-24,), ("float64",)),
)


def backend(name: str, twin: Twin, dtype: str) -> Backend:
    """An altered twin as a backend of one dtype."""
    return Backend(name, replace(FULL, dtypes=(dtype,)), replace(twin, shared={}).build)


def correct_backend(name: str, dtype: str) -> Backend:
    """One of ``CORRECT``, for one dtype."""
    if name == "twin":
        return backend(name, Twin(), dtype)
    for different in DIFFERENT:
        if different.id == name:
            return backend(name, different.twin, dtype)
    found = find(name)
    return replace(found, capabilities=replace(found.capabilities, dtypes=(dtype,)))


# The cases of a default run, and the fixed tolerances on them


@lru_cache
def recipes(dtype: str) -> tuple[Recipe, ...]:
    """The recipes that a default run of a full backend of ``dtype`` meets, short ones first."""
    drawn: list[Recipe] = []

    def passes(recipe: Recipe) -> bool:
        drawn.append(recipe)
        return False

    twin, settings = backend("twin", Twin(), dtype), Settings()
    search(strategies.recipes(twin), passes, settings.cases, entropy=settings.seed, shrink=False)
    return tuple(
        sorted([*fixed_set(twin, settings.seed), *drawn], key=lambda r: r.L * r.layers * (1 + r.bidirectional))
    )


@lru_cache
def expected(dtype: str) -> tuple[Oracle, ...]:
    """The oracle's result of each."""
    return tuple(oracle_result(realise(recipe)) for recipe in recipes(dtype))


def close(result: Result, want: Oracle, rtol: float, atol: float) -> bool:
    """Whether all parts of a result are within a fixed tolerance."""
    return all(a is not None and np.allclose(a, b, rtol, atol) for a, b in zip(result, want, strict=True))


def accusations(
    one: Backend, dtype: str, limits: Mapping[str, int | None] = dict.fromkeys(TOLERANCES)
) -> tuple[dict[str, int], int]:
    """The cases on which each tolerance accuses a backend, and the cases that it runs.

    Counting ends when it is known of each count whether it exceeds its limit.
    """
    cases = [pair for pair in zip(recipes(dtype), expected(dtype), strict=True) if _runs(one, pair[0])]
    counts = dict.fromkeys(limits, 0)
    for k, (recipe, want) in enumerate(cases):
        left = len(cases) - k
        if all(limit is not None and not counts[t] <= limit < counts[t] + left for t, limit in limits.items()):
            break
        result = Trial(one, recipe).result
        for tolerance in counts:
            counts[tolerance] += not close(result, want, *TOLERANCES[tolerance][dtype])
    return counts, len(cases)


def _runs(one: Backend, recipe: Recipe) -> bool:
    return one.capabilities.lengths or not recipe.ragged


# Measuring


def alarms(task: tuple[str, str]) -> dict[str, tuple[int, int]]:
    """Each judge's false alarms on ``(implementation, dtype)``, and the cases it judged."""
    one = correct_backend(*task)
    report = conform(one, Settings(shrink=False))
    counts, runs = accusations(one, task[1])
    ours = sum(verdict.outcome in BAD for verdict in report.verdicts), report.cases
    return {OURS: ours, **{tolerance: (count, runs) for tolerance, count in counts.items()}}


def smallest(task: tuple[str, str], limits: Mapping[str, Mapping[str, int]]) -> dict[str, float | None]:
    """The smallest level of ``(defect, dtype)`` that each judge detects, None if it detects none.

    A tolerance detects what it accuses on more cases than its limit for that dtype.
    """
    name, dtype = task
    defect = next(defect for defect in DEFECTS if defect.name == name)
    found: dict[str, float | None] = dict.fromkeys((OURS, *TOLERANCES))
    searching = set(found)
    for level in defect.levels:
        altered = backend(name, defect.twin(level), dtype)
        asked = {tolerance: limit for tolerance, limit in limits[dtype].items() if tolerance in searching}
        counts, _ = accusations(altered, dtype, asked)
        detecting = {tolerance for tolerance, count in counts.items() if count > asked[tolerance]}
        if OURS in searching:
            report = conform(altered, Settings(shrink=False, stop=True))
            detecting |= {OURS} if any(verdict.outcome in BAD for verdict in report.verdicts) else set()
        searching &= detecting
        found |= dict.fromkeys(searching, level)
        if not searching:
            break
    return found


Task = tuple[str, str]


def _labelled(function: Callable[[Task], Any], task: Task) -> tuple[Task, Any]:
    return task, function(task)


def measure(defects: Sequence[str], dtypes: Sequence[str], jobs: int, results: Path) -> None:
    """Append what is missing to the results, over a pool of processes."""
    with (
        multiprocessing.get_context("spawn").Pool(jobs) as pool,
        results.open("a", encoding="utf-8") as file,
        tqdm(disable=None) as bar,
    ):

        def add(kind: str, function: Callable[[Task], Any], tasks: list[Task]) -> None:
            missing = [task for task in tasks if (kind, *task) not in known(results)]
            bar.reset(len(missing))
            for task, found in pool.imap_unordered(partial(_labelled, function), missing):
                print(json.dumps({"task": [kind, *task], "found": found}, ensure_ascii=False), file=file, flush=True)
                bar.update()

        add("alarms", alarms, [(name, dtype) for dtype in dtypes for name in CORRECT])
        limits = {dtype: limits_of(known(results), dtype) for dtype in dtypes}
        tasks = [(d.name, dtype) for d in DEFECTS for dtype in dtypes if d.name in defects and dtype in d.dtypes]
        add("smallest", partial(smallest, limits=limits), tasks)


Known = dict[tuple[str, str, str], Any]


def known(results: Path) -> Known:
    """What has been measured, by ("alarms", implementation, dtype) or ("smallest", defect, dtype)."""
    return {tuple(line["task"]): line["found"] for line in recorded(results)}  # type: ignore[misc, arg-type]


def limits_of(found: Known, dtype: str) -> dict[str, int]:
    """The most cases on which each tolerance accuses a correct implementation."""
    return {t: max(found["alarms", name, dtype][t][0] for name in CORRECT) for t in TOLERANCES}


def shares(found: Known, dtype: str) -> dict[str, tuple[int, int]]:
    """Each judge's false alarms, and the runs of correct implementations that it judged."""
    own = [found["alarms", name, dtype] for name in CORRECT]
    return {judge: (sum(one[judge][0] for one in own), sum(one[judge][1] for one in own)) for judge in JUDGES}


# The page and the plot


def table(found: Known, dtype: str, format: str = "simple") -> str:
    """The smallest levels for one dtype, and below them each judge's false alarms."""
    rows = [
        [defect.name, *(_level(defect, found["smallest", defect.name, dtype][judge]) for judge in JUDGES)]
        for defect in DEFECTS
        if ("smallest", defect.name, dtype) in found
    ]
    rows.append(["false alarms", *(_share(*share) for share in shares(found, dtype).values())])
    return tabulate(rows, [dtype, *JUDGES], tablefmt=format, colalign=("left", *["right"] * len(JUDGES)))


def _level(defect: Defect, level: float | None) -> str:
    if level is None:
        return "missed"
    return f"{level:.0e}" if len(defect.levels) > 1 else "seen"


def _share(alarms: int, runs: int) -> str:
    return f"{100 * alarms / runs:.1f} %" if alarms else f"0 in {runs:,}"


def page(found: Known) -> str:
    """The page."""
    versions = ", ".join(f"{name} {version}" for name, version in environment().items())
    limits = "; ".join(
        ", ".join(f"{limit + 1} ({tolerance})" for tolerance, limit in limits_of(found, dtype).items()) + f" in {dtype}"
        for dtype in DTYPES
    )
    tables = "\n\n".join(table(found, dtype, "github") for dtype in DTYPES)
    return f"""# How small a defect is still seen

![The smallest level that each judge detects, defect by defect](sensitivity.svg)

`python -m benchmarks.sensitivity` builds defects with a level ε into a correct LSTM and goes down from ε = 0.1 in steps
of √10. Shown is the last level before the first that escapes. This suite makes a default run: its fixed set and 100
random cases, seed 0. On the same cases three fixed tolerances compare output, h_n and c_n with the float64 oracle's:
the defaults of `torch.testing.assert_close` and of `np.allclose`, and the ONNX project's rtol 1e-3, atol 1e-7.

A fixed tolerance accuses correct LSTMs too: the last row is the share of runs of {len(CORRECT)} correct
implementations that each judge accuses ({", ".join(CORRECT)}). So a judge detects a defect if
it accuses it on more cases than any correct implementation. For this suite that is one case; for the others
{limits}.

ε scales what it stands beside, or is added to it. *seen* and *missed* are for defects without a size of their own.

{tables}

{versions}
"""


#: Marker, colour, and height within its row.
_STYLE = {
    OURS: ("o", "#0b6e4f", 0.27),
    "assert_close": ("s", "#e08e0b", 0.09),
    "np.allclose": ("D", "#3b76b5", -0.09),
    "rtol 1e-3": ("^", "#b3413b", -0.27),
}


def plot(found: Known, path: Path) -> None:
    """One row for each defect, one panel for each dtype."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    names, missed = [defect.name for defect in DEFECTS], 10.0
    with plt.rc_context({"svg.hashsalt": "sensitivity", "font.size": 9.5}):
        figure, panels = plt.subplots(
            1, len(DTYPES), figsize=(11, 0.42 * len(names) + 1.9), sharey=True, layout="constrained"
        )
        for panel, dtype in zip(panels, DTYPES, strict=True):
            unit = float(np.finfo(dtype).eps) / 2
            panel.axvline(unit, color="#888888", lw=0.8, ls=":")
            panel.text(unit, len(names) - 0.4, "u", color="#888888", va="bottom", ha="center")
            panel.axvspan(1, 100, color="#f4f1ea", zorder=0)
            panel.axhline(sum(len(defect.levels) == 1 for defect in DEFECTS) - 0.5, color="#888888", lw=0.8)
            for y, name in enumerate(reversed(names)):
                if ("smallest", name, dtype) not in found:
                    continue
                levels = found["smallest", name, dtype]
                at = {judge: levels[judge] or missed for judge in JUDGES}
                panel.plot([min(at.values()), max(at.values())], [y, y], color="#dddddd", lw=1.2, zorder=1)
                for judge, (marker, colour, up) in _STYLE.items():
                    face = colour if levels[judge] else "white"
                    panel.plot(at[judge], y + up, marker, color=colour, mfc=face, ms=5, mew=1.1, zorder=3)
            decades = range(-1, int(np.log10(unit)) - 1, -1 if dtype == "float32" else -2)
            panel.set_xscale("log")
            panel.set_xlim(unit / 8, 100)
            panel.set_xticks([*(10.0**k for k in decades), missed], [*(f"$10^{{{k}}}$" for k in decades), "missed"])
            panel.minorticks_off()
            panel.set_ylim(-0.7, len(names) - 0.3)
            panel.set_yticks(range(len(names)), names[::-1])
            panel.tick_params(axis="y", length=0)
            panel.grid(axis="x", color="#eeeeee", zorder=0)
            panel.spines[["top", "right", "left"]].set_visible(False)
            panel.set_title(dtype, fontweight="bold", pad=16)
            panel.set_xlabel("smallest detected level ε")
        figure.legend(
            handles=[
                Line2D([], [], marker=marker, color=colour, ls="", ms=6, label=_label(found, judge))
                for judge, (marker, colour, _) in _STYLE.items()
            ],
            loc="outside lower center",
            ncols=len(_STYLE),
            frameon=False,
        )
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
        plt.close(figure)


def _label(found: Known, judge: str) -> str:
    own = [shares(found, dtype)[judge] for dtype in DTYPES]
    text = " and ".join(f"{100 * count / runs:.1f} %" if count else "none" for count, runs in own)
    return f"{judge}\naccuses {text} of correct runs"


def main() -> None:
    """Measure what is missing, print it, and write the page and the plot once it is whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [defect.name for defect in DEFECTS]
    parser.add_argument("--defect", nargs="+", choices=names, default=names, help="only these")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES, help="only these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    measure(options.defect, options.dtype, options.jobs, options.results)
    found = known(options.results)
    for dtype in options.dtype:
        print(table(found, dtype), end="\n\n")
    if all(("smallest", defect.name, dtype) in found for defect in DEFECTS for dtype in defect.dtypes):
        PAGE.write_text(page(found), encoding="utf-8")
        plot(found, PLOT)


if __name__ == "__main__":
    main()
