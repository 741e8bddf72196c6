"""Values: the numbers themselves, compared with the oracle's within the running error bound."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.cases.fills import cancels, saturating, uniform
from conformance.instruments.gates import SHOWN, named, showing, ways, wrong
from conformance.properties.layout import oracle_result
from conformance.properties.model import prop
from conformance.properties.resized import cheap
from conformance.spec import GATES, Array
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard, NotAnswered, Violation, within
from conformance.trials.trial import Trial


@prop("values.output", needs=("output", "values"), every=1)
def output(trial: Trial) -> None:
    """Every output of every layer is the oracle's, within the bound.

    CrispASR PR106 read gates i,o,f,c as i,f,g,o, and the official ONNX and WebNN vectors accept all 24 orders.
    """
    trial.require([finding for finding in trial.findings() if finding.tensor == "output"])


@prop("values.h_n", needs=("h_n", "values"), every=1)
def h_n(trial: Trial) -> None:
    """Every layer's and direction's h_n is the oracle's, within the bound.

    PaddleNLP#761: the output was right, the final states were not.
    """
    seen = ("h_n",) if "output" in trial.backend.capabilities.returns else ("h_n", "output")
    trial.require([finding for finding in trial.findings() if finding.tensor in seen and not _excused(trial, finding)])


@prop("values.c_n", needs=("c_n", "values"), every=1)
def c_n(trial: Trial) -> None:
    """Every layer's and direction's c_n is the oracle's, within the bound.

    Defects do not show in h while o is near 0 or tanh saturates. decaNLP#9 returned h as c.
    """
    trial.require([f for f in trial.findings() if f.tensor == "c_n" and not _excused(trial, f)])


def _excused(trial: Trial, final: Finding) -> bool:
    """Whether a final state is right even if it does not follow from the outputs, because those are wrong.

    From a backward output that was not flipped no right final state follows.
    """
    if final.tensor == "output" or final.margin() <= 1.0:
        return False
    place = final.layers, final.layer, final.direction
    outputs = [f for f in trial.findings() if f.tensor == "output" and (f.layers, f.layer, f.direction) == place]
    if all(output.margin() <= 1.0 for output in outputs):
        return False
    free = trial.expectation().free_running(final.layer)[final.direction]
    want = free.h_n if final.tensor == "h_n" else free.c_n
    return bool(np.all(np.abs(final.actual - want.value) <= np.minimum(want.error, 1e-3)))


@prop("values.gates", needs=("initial_state", "values", "params"), when=lambda r: r.bias, turns=2)
def gates(trial: Trial) -> None:
    """With the other gates saturated, c_n and h_n show each gate's activation alone: σ for i, f and o, tanh for g.

    tvm PR3410 added the forget bias after the sigmoid, unseen because the tests' bias was 0.
    """
    # In turn the case's own weights, and some so large that an activation is nearly at its end.
    gain = trial.in_turn((trial.recipe.gain, 8.0))
    alone = trial.derived(fill="normal", layers=1, state="both", ragged=False, gain=gain)
    found = {shown: ways(shown, alone) for shown in SHOWN}
    if all(right(findings) for each in found.values() for findings in each):
        for each in found.values():
            for findings in each:
                alone.require(findings)
        return
    suspects = [shown for shown, each in found.items() if wrong(shown, each)]
    told = ""
    with suppress(NotAnswered):
        told = named(alone, suspects)
    for shown in sorted(SHOWN, key=lambda shown: (shown not in told, shown not in suspects)):
        for way, findings in zip(SHOWN[shown], found[shown], strict=True):
            with within(told or f"with {shown} alone", way.of(alone.case)):
                alone.require(showing(shown, findings) if shown in suspects else findings)


#: So many units, each with a place of its own on an activation's axis.
_PLACES = 128

#: Beyond this number an activation differs from its limit by a rounding at most.
_END = {"float64": 40.0, "float32": 18.0, "float16": 10.0, "bfloat16": 8.0}


#: How places are chosen: drawn, or all eighths. Functions made of pieces have their seams at such numbers.
_CHOSEN = ("drawn", "eighths", "drawn", "drawn")


@prop(
    "values.activations",
    needs=("initial_state", "values", "params"),
    when=lambda r: r.bias,
    limit=8,
    turns=len(_CHOSEN),
)
def activations(trial: Trial) -> None:
    """Each gate's activation, and the cell's tanh, are right at 128 places from end to end, and at all eighths up to 8.

    Tables, polynomials and early saturation are wrong in some window: hls4ml, ComputeLibrary#779.
    """
    r = trial.recipe
    sizes = {"I": min(r.I, 4), "H": _PLACES, "proj": 0, "layers": 1, "L": 1, "N": min(r.N, 2)}
    for shown in (*GATES, "cell"):
        fill = "gate-o" if shown == "cell" else f"gate-{shown}"
        wide = trial.resized(**cheap(trial) | sizes | {"fill": fill, "state": "both", "ragged": False})
        places = _places(trial, shown)
        wide.case = _at_places(wide.case, shown, places)
        findings = wide.findings()
        worst = max(findings, key=Finding.margin).ratios()
        what = "tanh(c) at c" if shown == "cell" else f"gate {shown} at a preactivation"
        with within(f"{what} of {places[int(np.argmax(worst)) % _PLACES]:.6g}", wide.case):
            wide.require(findings, wide.case)


def _places(trial: Trial, shown: str) -> Array:
    """One place in each of 96 intervals from end to end, the others ever closer to 0 on both sides.

    Or, in their turn, all eighths from −8 to 8.
    """
    end, near = _END[trial.recipe.dtype], _PLACES // 4
    if trial.in_turn(_CHOSEN) == "eighths":
        return (np.arange(_PLACES) - _PLACES // 2) / 8
    within = uniform(trial.recipe.seed, "places " + shown, (_PLACES,))
    even = end * (2 * (np.arange(_PLACES - near) + within[near:]) / (_PLACES - near) - 1)
    small = np.ldexp(0.5 + within[:near], -np.arange(near)) * np.resize([1, -1], near)
    return np.concatenate([even, small])


def _at_places(case: Case, shown: str, places: Array) -> Case:
    """The case without weights, so that the activation shown depends on the unit alone."""
    params = {name: np.zeros_like(value) if "weight" in name else value.copy() for name, value in case.params.items()}
    row = GATES.index("o" if shown == "cell" else shown)
    for name, value in params.items():
        if name.startswith("bias"):
            own = saturating(case.config.dtype) if shown == "cell" else places
            value.reshape(4, -1)[row] = own if name.startswith("bias_ih") else 0
    if shown != "cell" or case.state is None:
        return replace(case, params=params)
    h_0, c_0 = case.state
    return replace(case, params=params, state=(h_0, np.broadcast_to(places, c_0.shape).astype(c_0.dtype)))


@prop("values.digital", needs=("params",), when=lambda r: r.bias)
def digital(trial: Trial) -> None:
    """With every preactivation far into saturation, every cell is a small whole number.

    This checks structure without arithmetic: it holds in any precision, int8 included, and shows most structural
    faults.
    """
    # A cell is a whole number of at most c_0 + L: few steps, so that eight bits hold it, gates a little off 1 included.
    coarse = trial.arithmetic is not None and trial.arithmetic.unit > 2.0**-9
    digits = trial.derived(fill="digital", L=min(trial.recipe.L, 3 if coarse else 8))
    want, got = oracle_result(digits.case), digits.result
    if np.abs(want.c_n - np.rint(want.c_n)).max() > 1e-6:
        raise Discard
    for name, a, b in zip(("output", "h_n", "c_n"), got, want, strict=True):
        if a is None:
            continue
        wrong = ~(np.abs(a - b) < 0.25)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise Violation(f"{name}{list(at)} expected {b[at]:.4g} got {a[at]:.4g}", case=digits.case)


@prop("values.accumulation", needs=("values", "params"), every=8)
def accumulation(trial: Trial) -> None:
    """Large terms that cancel leave the small ones intact: dot products keep the declared precision.

    Half-precision accumulation and float32 passed off as float64 lose the small ones; with random data that does not
    show.
    """
    recipe = trial.recipe
    sizes = {"I": max(recipe.I, 8), "H": max(recipe.H, 8), "L": 1, "layers": 1, "proj": 0}
    state = "both" if trial.backend.capabilities.initial_state else "none"
    values = {"fill": "cancelling", "state": state, "ragged": False, "gain": 1.0}
    cancelling = trial.resized(**cheap(trial) | sizes | values)
    arithmetic = cancelling.arithmetic
    if arithmetic is None or arithmetic.inputs or not cancels(recipe.dtype, arithmetic.accumulate):
        raise Discard
    cancelling.case = replace(cancelling.case, rule="exact")
    cancelling.require_right()
