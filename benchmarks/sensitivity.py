"""How small a defect is still seen? ``python -m benchmarks.sensitivity`` writes docs/sensitivity.md and its plot.

Defects with a level ε are built into the correct LSTM. Each is judged by a default run of this suite that stops at its
first failure, and by three fixed tolerances on the whole results of that run's cases beside the float64 oracle's.
Going down from ε = 0.1 in steps of √10, the level before the first that escapes is the smallest that is detected.

A fixed tolerance accuses correct LSTMs too. So a judge detects a defect if it accuses it on more cases than any of the
correct implementations, which for this suite is one case.
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

RESULTS = Path("results/sensitivity.json")
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
    *("twin", "reversed-sums", "pairwise-sums", "one-product", "sigmoid-by-tanh", "activations-3-ulps-off"),
    *("numpy", "torch-loop", "torch-nn"),
)

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
    """The recipes that a default run of a full backend of ``dtype`` meets."""
    drawn: list[Recipe] = []

    def passes(recipe: Recipe) -> bool:
        drawn.append(recipe)
        return False

    twin, settings = backend("twin", Twin(), dtype), Settings()
    search(strategies.recipes(twin), passes, settings.cases, entropy=settings.seed, shrink=False)
    return (*fixed_set(twin, settings.seed), *drawn)


@lru_cache
def expected(dtype: str) -> tuple[Oracle, ...]:
    """The oracle's result of each."""
    return tuple(oracle_result(realise(recipe)) for recipe in recipes(dtype))


def close(result: Result, want: Oracle, rtol: float, atol: float) -> bool:
    """Whether all parts of a result are within a fixed tolerance."""
    return all(a is not None and np.allclose(a, b, rtol, atol) for a, b in zip(result, want, strict=True))


def accusations(one: Backend, dtype: str, limits: Mapping[str, float]) -> tuple[dict[str, int], int]:
    """The cases on which each tolerance accuses a backend, and the cases it ran; once all are above their limits."""
    counts, runs = dict.fromkeys(limits, 0), 0
    for recipe, want in zip(recipes(dtype), expected(dtype), strict=True):
        if all(count > limits[tolerance] for tolerance, count in counts.items()):
            break
        if not recipe.ragged or one.capabilities.lengths:
            result = Trial(one, recipe).result
            runs += 1
            for tolerance in counts:
                counts[tolerance] += not close(result, want, *TOLERANCES[tolerance][dtype])
    return counts, runs


# Measuring


def alarms(task: tuple[str, str]) -> dict[str, tuple[int, int]]:
    """Each judge's false alarms on ``(implementation, dtype)``, and the cases it judged."""
    one = correct_backend(*task)
    report = conform(one, Settings(shrink=False))
    counts, runs = accusations(one, task[1], dict.fromkeys(TOLERANCES, np.inf))
    ours = sum(verdict.outcome in BAD for verdict in report.verdicts), report.cases
    return {OURS: ours, **{tolerance: (count, runs) for tolerance, count in counts.items()}}


def smallest(task: tuple[str, str], limits: Mapping[str, Mapping[str, float]]) -> dict[str, float | None]:
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


def measure(defects: Sequence[str], dtypes: Sequence[str], jobs: int) -> dict[str, Any]:
    """Everything, as plain data."""
    implementations = [(name, dtype) for dtype in dtypes for name in CORRECT]
    tasks = [(d.name, dtype) for d in DEFECTS for dtype in dtypes if d.name in defects and dtype in d.dtypes]
    with (
        multiprocessing.get_context("spawn").Pool(jobs) as pool,
        tqdm(total=len(implementations) + len(tasks), disable=None) as bar,
    ):
        judged: dict[str, list[dict[str, tuple[int, int]]]] = {dtype: [] for dtype in dtypes}
        for (_, dtype), found in zip(implementations, pool.imap(alarms, implementations), strict=True):
            judged[dtype].append(found)
            bar.update()
        limits = {dtype: {t: max(one[t][0] for one in own) for t in TOLERANCES} for dtype, own in judged.items()}
        levels = []
        for (name, dtype), found in zip(tasks, pool.imap(partial(smallest, limits=limits), tasks), strict=True):
            levels.append({"defect": name, "dtype": dtype, "smallest": found})
            bar.update()
    return {
        "environment": environment(),
        "correct": list(CORRECT),
        "cases": {dtype: len(recipes(dtype)) for dtype in dtypes},
        "alarms": {
            dtype: {judge: [sum(one[judge][k] for one in own) for k in (0, 1)] for judge in (OURS, *TOLERANCES)}
            for dtype, own in judged.items()
        },
        "limits": limits,
        "levels": levels,
    }


# The page and the plot


def table(measured: dict[str, Any], dtype: str, format: str = "simple") -> str:
    """The smallest levels for one dtype, and below them each judge's false alarms."""
    judges = [OURS, *TOLERANCES]
    own = [row for row in measured["levels"] if row["dtype"] == dtype]
    rows = [[row["defect"], *(_level(row, judge) for judge in judges)] for row in own]
    alarms = measured["alarms"][dtype]
    rows.append(["**false alarms**", *(_share(*alarms[judge]) for judge in judges)])
    return tabulate(rows, [dtype, *judges], tablefmt=format, colalign=("left", *["right"] * len(judges)))


def _level(row: dict[str, Any], judge: str) -> str:
    level = row["smallest"][judge]
    if _single(row["defect"]):
        return "missed" if level is None else "seen"
    return "missed" if level is None else f"{level:.0e}"


def _single(name: str) -> bool:
    return any(defect.name == name and len(defect.levels) == 1 for defect in DEFECTS)


def _share(alarms: int, runs: int) -> str:
    return f"{100 * alarms / runs:.1f} %" if alarms else f"0 in {runs:,}"


def page(measured: dict[str, Any]) -> str:
    """The page."""
    versions = ", ".join(f"{name} {version}" for name, version in measured["environment"].items())
    cases = " and ".join(f"{count} in {dtype}" for dtype, count in measured["cases"].items())
    limits = "; ".join(
        ", ".join(f"{limit + 1} ({tolerance})" for tolerance, limit in own.items()) + f" in {dtype}"
        for dtype, own in measured["limits"].items()
    )
    tables = "\n\n".join(table(measured, dtype, "github") for dtype in measured["cases"])
    return f"""# How small a defect is still seen

![The smallest level that each judge detects, defect by defect](sensitivity.svg)

`python -m benchmarks.sensitivity` builds defects with a level ε into a correct LSTM and goes down from ε = 0.1 in steps
of √10. Shown is the last level before the first that escapes. This suite makes a default run: its fixed set and 100
random cases, seed 0. On the cases of that run ({cases}) three fixed tolerances compare output,
h_n and c_n with the float64 oracle's: `torch.testing.assert_close` and `np.allclose` with their defaults, and the ONNX
project's rtol 1e-3, atol 1e-7.

A fixed tolerance accuses correct LSTMs too: the last row is the share of runs of {len(measured["correct"])} correct
implementations that each judge accuses ({", ".join(measured["correct"])}). So a judge detects a
defect if it accuses it on more cases than any correct implementation. For this suite that is one case; for the others
{limits}.

ε scales what it stands beside, or is added to it. *seen* and *missed* are for defects without a size of their own.

{tables}

{versions}
"""


#: Marker, colour, and height within its row.
_STYLE = {
    OURS: ("o", "#0b6e4f", 0.24),
    "assert_close": ("s", "#e08e0b", 0.08),
    "np.allclose": ("D", "#3b76b5", -0.08),
    "rtol 1e-3": ("^", "#b3413b", -0.24),
}


def plot(measured: dict[str, Any], path: Path) -> None:
    """One row for each defect, one panel for each dtype."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    dtypes = list(measured["cases"])
    names = [d.name for d in DEFECTS if any(row["defect"] == d.name for row in measured["levels"])]
    missed = 10.0
    with plt.rc_context({"svg.hashsalt": "sensitivity", "font.size": 9.5}):
        figure, panels = plt.subplots(
            1, len(dtypes), figsize=(11, 0.36 * len(names) + 1.9), sharey=True, layout="constrained", squeeze=False
        )
        for panel, dtype in zip(panels[0], dtypes, strict=True):
            for row in measured["levels"]:
                if row["dtype"] != dtype:
                    continue
                y = len(names) - 1 - names.index(row["defect"])
                at = {judge: level or missed for judge, level in row["smallest"].items()}
                panel.plot([min(at.values()), max(at.values())], [y, y], color="#dddddd", lw=1.2, zorder=1)
                for judge, (marker, colour, up) in _STYLE.items():
                    face = colour if row["smallest"][judge] else "white"
                    panel.plot(at[judge], y + up, marker, color=colour, mfc=face, ms=5.5, mew=1.2, zorder=3)
            unit = float(np.finfo(dtype).eps) / 2
            panel.axvline(unit, color="#888888", lw=0.8, ls=":")
            panel.text(unit, len(names) - 0.4, " u", color="#888888", va="bottom", ha="center")
            panel.axvspan(1, 100, color="#f4f1ea", zorder=0)
            panel.set_xscale("log")
            panel.set_xlim(unit / 8, 100)
            step = 1 if dtype == "float32" else 2
            ticks = [10.0**k for k in range(-1, int(np.floor(np.log10(unit))) - 1, -step)]
            panel.set_xticks([*ticks, missed], [*(f"$10^{{{round(np.log10(t))}}}$" for t in ticks), "missed"])
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
                Line2D([], [], marker=marker, color=colour, ls="", ms=6, label=_label(measured, judge))
                for judge, (marker, colour, _) in _STYLE.items()
            ],
            loc="outside lower center",
            ncols=len(_STYLE),
            frameon=False,
        )
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
        plt.close(figure)


def _label(measured: dict[str, Any], judge: str) -> str:
    shares = [alarms[judge][0] / alarms[judge][1] for alarms in measured["alarms"].values()]
    return f"{judge}\naccuses correct LSTMs: " + ", ".join(f"{100 * share:.1f} %" if share else "0" for share in shares)


def main() -> None:
    """Measure all and write the three files, or a part and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--defect", nargs="+", choices=[d.name for d in DEFECTS], help="measure and print these only")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, help="measure and print these only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--draw", action="store_true", help="measure nothing: page and plot from the results there are")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    whole = not options.defect and not options.dtype
    if options.draw:
        measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    else:
        defects = options.defect or [d.name for d in DEFECTS]
        measured = measure(defects, options.dtype or DTYPES, options.jobs)
    for dtype in measured["cases"]:
        print(table(measured, dtype), end="\n\n")
    if whole:
        RESULTS.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        PAGE.write_text(page(measured), encoding="utf-8")
        plot(measured, PLOT)


if __name__ == "__main__":
    main()
