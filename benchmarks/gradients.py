"""How often are correct gradients accused, and how small a defect is seen? ``python -m benchmarks.gradients``.

``alarms`` offers random cases to every property of the group, without the engine's sampling, on seeds nobody used
before, and appends a line of JSON for each chunk to ``results/gradients.jsonl``; chunks already there are not run
again. A judgement is one property on one case.

``tightness`` alters one piece of the twin's gradient by smaller and smaller relative amounts ε, and says at which half
of the cases still show it: by the bound, by the dyadic case besides, and by fixed tolerances against the oracle; and
how many cases each of them accuses of correct gradients. All cotangents are of size 1, but one that is dropped is of
size ε (the dyadic case, where all are small whole numbers, is not asked about that one).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.false_alarms import FIRST_SEED, correct, recorded
from conformance.backend import Backend
from conformance.cases.cotangents import Cotangents, draw
from conformance.cases.recipe import Recipe
from conformance.cases.strategies import recipes
from conformance.engine.plan import Settings, plan
from conformance.engine.search import search
from conformance.faults import backward
from conformance.faults.backward import Differentiable
from conformance.faults.fault import FULL
from conformance.instruments.taps import judge_tapped, lower_results, tap
from conformance.properties import catalogue
from conformance.properties.gradients.shared import DTYPES
from conformance.reference.backward import Gradients, vjp
from conformance.report.environment import environment
from conformance.report.records import encode
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial

RESULTS = Path("results/gradients.jsonl")

#: Whose gradients are judged if none is named.
SUBJECTS = (
    "torch-nn",
    "numpy",
    "torch-loop",
    "different:activations-3-ulps-off",
    "different:float64-inside",
    "different:gradient-from-preactivations",
)


# False alarms


def measure(chunk: tuple[str, int, int]) -> dict[str, Any]:
    """Judge one backend's gradients on the cases of one seed."""
    name, seed, cases = chunk
    backend, started = correct(name), time.monotonic()
    backend = replace(backend, capabilities=replace(backend.capabilities, dtypes=DTYPES))
    properties = plan(backend, Settings(only=("gradients",))).asked
    counts: dict[str, int] = {}
    asked = Counter[str]()
    margin, alarms = 0.0, []

    def judge(recipe: Recipe) -> bool:
        nonlocal margin
        trial = Trial(backend, recipe)
        for p in properties:
            if not p.when(recipe):
                continue
            trial.margin, trial.turn = None, asked[p.id] % p.turns
            asked[p.id] += 1
            try:
                with np.errstate(all="ignore"):
                    p.check(trial)
            except Discard:
                continue
            except Violation as violation:
                met = str(replace(recipe, turn=trial.turn))
                alarms.append({"property": p.id, "recipe": met, "fact": encode(violation.fact)})
            margin = max(margin, trial.margin or 0.0)
            counts[recipe.dtype] = counts.get(recipe.dtype, 0) + 1
        return False

    search(recipes(backend), judge, cases, seed)
    return {
        "backend": name,
        "seed": seed,
        "cases": cases,
        "judgements": counts,
        "margin": margin,
        "seconds": round(time.monotonic() - started, 1),
        "alarms": alarms,
    }


def totals(lines: list[dict[str, Any]], format: str = "simple") -> str:
    """Judgements by backend and dtype, the largest margin, and the alarms."""
    rows = []
    for name in dict.fromkeys(line["backend"] for line in lines):
        own = [line for line in lines if line["backend"] == name]
        counts = [sum(line["judgements"].get(dtype, 0) for line in own) for dtype in DTYPES]
        margin, alarms = max(line["margin"] for line in own), sum(len(line["alarms"]) for line in own)
        rows.append([name, sum(line["cases"] for line in own), *counts, margin, alarms])
    sums = [sum(row[column] for row in rows) for column in range(1, 2 + len(DTYPES))]
    rows.append(["all", *sums, max((row[-2] for row in rows), default=0.0), sum(row[-1] for row in rows)])
    headers = ["backend", "cases", *(f"judgements in {dtype}" for dtype in DTYPES), "margin", "alarms"]
    return tabulate(rows, headers, tablefmt=format, floatfmt=".2f", intfmt=",")


def alarms(options: argparse.Namespace) -> int:
    """Run what is missing, print the totals; 1 if anything was accused."""
    done = {(line["backend"], line["seed"], line["cases"]) for line in recorded(options.results)}  # type: ignore[index]
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    chunks = [(name, seed, options.cases) for seed in seeds for name in options.backends or SUBJECTS]
    left = [chunk for chunk in chunks if chunk not in done]
    options.results.parent.mkdir(exist_ok=True)
    with (
        multiprocessing.get_context("spawn").Pool(options.jobs) as pool,
        options.results.open("a", encoding="utf-8") as file,
    ):
        for line in tqdm(pool.imap_unordered(measure, left), total=len(left), unit="chunk"):
            print(json.dumps(line), file=file, flush=True)
    lines: list[Any] = list(recorded(options.results))
    print(totals(lines))
    versions = ", ".join(f"{name} {version}" for name, version in environment("torch").items())
    page = f"""# False alarms on correct gradients

`python -m benchmarks.gradients alarms` offers random cases, on seeds from {FIRST_SEED:,} on, to every property of the
group `gradients`. A judgement is one property on one case. The chunks are in [gradients.jsonl](gradients.jsonl).

{totals(lines, "github")}

{versions}
"""
    options.results.with_suffix(".md").write_text(page, encoding="utf-8")
    return 1 if any(line["alarms"] for line in lines) else 0


# Tightness


@dataclass(frozen=True)
class Slip:
    """One piece of a gradient that is wrong by a relative amount ε."""

    name: str
    twin: Callable[[float], Differentiable]
    #: The cotangent that is ε times as large as the others: it is dropped, instead of altered by ε.
    dropped: str = ""


def _gate(index: int) -> Callable[[float], Differentiable]:
    def twin_of(amount: float) -> Differentiable:
        def d_gates(twin: Differentiable, at: Any, s: Any, d_values: Any) -> Any:
            parts = np.split(backward.d_gates(twin, at, s, d_values), 4, axis=1)
            parts[index] = (parts[index] * (1 + amount)).astype(parts[index].dtype)
            return np.concatenate(parts, axis=1)

        return Differentiable(d_gates=d_gates)

    return twin_of


def _recurrent(amount: float) -> Differentiable:
    def d_step(twin: Differentiable, *arguments: Any) -> Any:
        before = backward.d_step(twin, *arguments)
        return before._replace(h=(before.h * (1 + amount)).astype(before.h.dtype))

    return Differentiable(d_step=d_step)


def _weight(amount: float) -> Differentiable:
    def d_sum(*arguments: Any) -> Any:
        found = backward.d_sum(*arguments)
        one = found["weight_hh"]
        return found | {"weight_hh": (one * (1 + amount)).astype(one.dtype)}

    return Differentiable(d_sum=d_sum)


def _without(part: int) -> Callable[[float], Differentiable]:
    def d_layer(twin: Differentiable, at: Any, w: Any, steps: Any, lengths: Any, d_output: Any, *finals: Any) -> Any:
        d_h, d_c = (0 * v if k == part else v for k, v in enumerate(finals))
        return backward.d_layer(twin, at, w, steps, lengths, d_output, d_h, d_c)

    return lambda amount: Differentiable(d_layer=d_layer)


SLIPS = (
    *(Slip(f"∂a of gate {gate} times 1 + ε", _gate(index)) for index, gate in enumerate("ifgo")),
    Slip("∂h passed back times 1 + ε", _recurrent),
    Slip("∂W_hh times 1 + ε", _weight),
    Slip("∂h_n of size ε dropped", _without(0), "h_n"),
    Slip("∂c_n of size ε dropped", _without(1), "c_n"),
)

#: Fixed tolerances: np.allclose's own, those of torch.testing.assert_close, and 1e-3 both ways.
TOLERANCES = {
    "np.allclose": {"float32": (1e-5, 1e-8), "float64": (1e-5, 1e-8)},
    "assert_close": {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)},
    "1e-3": {"float32": (1e-3, 1e-3), "float64": (1e-3, 1e-3)},
}
METHODS = ("bound", "bound and dyadic", *TOLERANCES)


def case_of(dtype: str, seed: int) -> Recipe:
    """The sizes and gains of a tightness case."""
    rng = np.random.default_rng(seed)
    return Recipe(
        I=int(rng.integers(1, 9)),
        H=int(rng.integers(2, 9)),
        L=int(rng.integers(2, 17)),
        N=int(rng.integers(1, 5)),
        state="both",
        gain=float(rng.choice([0.5, 1.0, 2.0, 8.0])),
        dtype=dtype,
        seed=seed,
    )


def seen(recipe: Recipe, slip: Slip | None, amount: float) -> dict[str, bool]:
    """Which methods accuse the twin with a slip, or without one, on one case."""
    twin = Differentiable() if slip is None else slip.twin(amount)
    backend = Backend("slip", replace(FULL, gradients=True), replace(twin, shared={}).build)
    trial = Trial(backend, recipe)
    assert trial.arithmetic is not None
    cotangents = Cotangents(*(part / (np.abs(part).max() or 1) for part in draw(trial.case, recipe.seed, "all")))
    if slip is not None and slip.dropped:
        own = getattr(cotangents, slip.dropped)
        cotangents = cotangents._replace(**{slip.dropped: (own * amount).astype(own.dtype)})
    tapped = tap(trial.case)
    findings = judge_tapped(tapped, lower_results(tapped, trial.vjp), cotangents, trial.vjp, trial.arithmetic)
    bound = any(not finding.margin() <= 1.0 for finding in findings)
    asked = slip is None or not slip.dropped
    found = {"bound": bound, "bound and dyadic": bound or (asked and not exact(trial))}
    case = trial.case
    grad_output, grad_h_n, grad_c_n = cotangents
    _, want = vjp(case.config, case.params, case.x, case.state, case.lengths, grad_output, grad_h_n, grad_c_n)
    _, got = trial.vjp(case, cotangents)
    for name, tolerance in TOLERANCES.items():
        found[name] = not close(got, want, *tolerance[recipe.dtype])
    return found


def exact(trial: Trial) -> bool:
    """Whether the dyadic case passes."""
    try:
        catalogue()["gradients.dyadic"].check(trial)
    except Violation:
        return False
    return True


def close(got: Gradients, want: Gradients, rtol: float, atol: float) -> bool:
    """Whether all gradients are within fixed tolerances."""
    return all(np.allclose(got[name], want[name], rtol=rtol, atol=atol) for name in want)


def smallest(recipe: Recipe, slip: Slip, accused: dict[str, bool]) -> dict[str, float]:
    """For each method the smallest ε, in half powers of ten, that it sees in one case; infinite if none.

    A method that accuses the case of nothing wrong sees nothing.
    """

    @cache
    def shown(halves: int) -> dict[str, bool]:
        return seen(recipe, slip, 10.0 ** (-halves / 2))

    found = dict.fromkeys(METHODS, np.inf)
    for method in METHODS:
        # What is seen at some amount is seen at larger ones.
        least, most = 1, 34
        while least < most:
            middle = (least + most) // 2
            least, most = (middle + 1, most) if shown(middle)[method] else (least, middle)
        if least > 1 and not accused[method]:
            found[method] = 10.0 ** (-(least - 1) / 2)
    return found


def tightness(options: argparse.Namespace) -> int:
    """Print a table for each dtype."""
    for dtype in DTYPES:
        cases = [case_of(dtype, FIRST_SEED + k) for k in range(options.cases)]
        accused = [seen(recipe, None, 0.0) for recipe in tqdm(cases, leave=False)]
        rows = []
        for slip in tqdm(SLIPS, leave=False):
            least = [smallest(recipe, slip, one) for recipe, one in zip(cases, accused, strict=True)]
            medians = [sorted(one[method] for one in least)[len(least) // 2] for method in METHODS]
            rows.append([slip.name, *("none" if np.isinf(median) else f"{median:.0e}" for median in medians)])
        shares = (sum(one[method] for one in accused) / len(cases) for method in METHODS)
        rows.append(["accused though correct", *(f"{share:.0%}" for share in shares)])
        print(f"\n{dtype}, {len(cases)} cases: the smallest ε seen, in the median case\n")
        print(tabulate(rows, ["", *METHODS], tablefmt="github", disable_numparse=True))
    return 0


def main() -> int:
    """Run one of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("alarms", help="how often correct gradients are accused")
    one.add_argument("backends", nargs="*", help=f"by name, or different:NAME; {', '.join(SUBJECTS)} if none")
    one.add_argument("--seeds", type=int, default=10, help="how many seeds (%(default)s)")
    one.add_argument("--cases", type=int, default=100, help="random cases for each seed (%(default)s)")
    one.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    one.add_argument("--results", type=Path, default=RESULTS)
    one.set_defaults(run=alarms)
    two = kinds.add_parser("tightness", help="how small a defect of a gradient is seen")
    two.add_argument("--cases", type=int, default=40, help="cases for each amount (%(default)s)")
    two.set_defaults(run=tightness)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options = parser.parse_args()
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
