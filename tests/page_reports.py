"""Reports for the tests of the page, made from data: a large one, a hostile one, an incomplete one."""

from __future__ import annotations

from dataclasses import replace

from conformance.facts import (
    Alteration,
    Cause,
    Compared,
    Degree,
    Diagnosis,
    Element,
    Evidence,
    Interruption,
    Measured,
    Mismatch,
    Outcome,
    Said,
    Tensor,
    Undeclared,
)
from conformance.facts.weights import Likeness, Taken, WeightsCompared
from conformance.properties import catalogue
from conformance.report.model import Asked, BackendReport, Report, Verdict

IDS = tuple(catalogue())

#: What a backend may say of itself, and its process, its author or the one who wrote the report may say of it.
HOSTILE = (
    '</script><script>document.title = "owned"</script>',
    '"><img src=x onerror="document.title = \'owned\'">',
    "javascript:document.title='owned'",
    "\x1b[31mred\x1b[0m\x07\x00",
    "left\u202eright\u2066\u200f",
    "line\u2028separator\u2029 and half of a pair \ud800",
    "{{ 7 * 7 }} {% raw %} &amp; &lt; ' ]]> <!-- ",
    "x" * 100_000,
)


def evidence(size: int = 3, steps: int = 2) -> Evidence:
    """A call of one row with its arrays, and its output beside the oracle's, whose second element is wrong."""
    values = tuple(((-1) ** k) * (k + 1) / 7 for k in range(4 * size))
    given = (
        Tensor("weight_ih_l0", "float32", (4 * size, 1), 4 * size, values),
        Tensor("weight_hh_l0", "float32", (4 * size, size), 0, tuple([0.0] * (4 * size * size))),
        Tensor("bias_ih_l0", "float32", (4 * size,), 4 * size, values),
        Tensor("x", "float32", (steps, 1, 1), steps, tuple(float(k + 1) for k in range(steps))),
        Tensor("h_0", "float32", (1, 1, 400), 400, None),
    )
    indices = [(t, 0, unit) for t in range(steps) for unit in range(size)]
    elements = [
        Element(index, 0.1 * k, 0.1 * k + (1e-3 if k % 3 == 1 else 0.0), 3.2e3 if k % 3 == 1 else 0.0, k % 3 == 1)
        for k, index in enumerate(indices)
    ]
    output = Compared("output", tuple(elements), len(elements), sum(each.wrong for each in elements))
    right = Compared("h_n", tuple(Element((0, 0, k), 0.5, 0.5, 0.0, False) for k in range(size)), size, 0)
    return Evidence("LSTM(1→3) L=2 N=1", given, (output, right), "")


def failed(backend: str, id: str, size: int = 3) -> Verdict:
    """A failure with all that there is to show."""
    return Verdict(
        backend,
        id,
        Outcome.FAILED,
        Mismatch("output", (0, 0, 1), 0.1, 0.101, 3e-7, 0, 0, 0, 0, 1, 1),
        recipe="I=1 H=3 L=2 N=1 state=both fill=digital edits=0:weight_hh_l0",
        margin=3.2e3,
        cases=12,
        smallest="LSTM(1→3) L=2 N=1, weight_hh_l0 0",
        worst=3.2e3,
        worst_recipe="I=1 H=3 L=2 N=1",
        after=4,
        evidence=evidence(size),
    )


def measured() -> tuple[Measured, ...]:
    """Two dtypes at a few sizes."""
    cells = [("float32", 1.0), ("float64", 0.6)]
    sizes = [(steps, hidden) for steps in (1, 2, 8, 32) for hidden in (1, 4, 16)]
    return tuple(
        Measured(dtype, steps, hidden, 5, 0.03 * scale * (steps * hidden) ** 0.3, 1e-4 * scale * steps)
        for dtype, scale in cells
        for steps, hidden in sizes
    )


CHOICES = {"layers": {"1": 60, "2": 41, "3": 20}, "state": {"none": 50, "both": 44, "h": 0}, "dtype": {"float32": 121}}


def backend(name: str, failing: tuple[str, ...] = (), undeclared: tuple[str, ...] = ()) -> BackendReport:
    """A backend of which some properties fail, and some are not declared."""

    def verdict(at: int, id: str) -> Verdict:
        if id in failing:
            return failed(name, id)
        if id in undeclared:
            return Verdict(name, id, Outcome.NOT_DECLARED, Undeclared(("gradients",)))
        return Verdict(name, id, Outcome.PASSED, margin=(at % 37 + 1) / 80 if at % 3 else None, cases=30 + at % 90)

    cause = Cause(
        Degree.CONFIRMED,
        (Alteration("gate-order-iofg"),),
        explained=56,
        tried=56,
        explains=failing,
        seen_in="ONNX, MNN, WebNN",
        fix='params = {name: reorder(value, "iofg") for name, value in params.items()}',
    )
    return BackendReport(
        name,
        tuple(verdict(at, id) for at, id in enumerate(IDS)),
        covered=500,
        combinations=500,
        cases=240,
        long=3,
        frameworks={"torch": "2.13.0+cpu"},
        seconds=39.5,
        dtypes=("float32", "float64"),
        diagnosis=Diagnosis((cause,), calls=240, seconds=3.1, limit=20.0) if failing else None,
        measured=measured(),
        choices=CHOICES,
    )


def report(*backends: BackendReport, missing: tuple[str, ...] = ()) -> Report:
    """A report of some backends."""
    asked = Asked(targets=("mine",), command=("run", "mine"), started="2026-11-30T09:00:00+00:00")
    environment = {"torch": "2.13.0+cpu", "numpy": "2.4.6", "python": "3.11.7", "platform": "linux x86_64"}
    return Report("0.1.0", 0, 100, environment, backends, missing, asked)


def small() -> Report:
    """Two backends: one is right, and of the other some properties fail."""
    gradients = tuple(id for id in IDS if id.startswith(("gradients.", "dropout.")))
    values = ("values.output", "values.h_n", "direction.reversal", "purity.repeat")
    failing = tuple(id for id in IDS if id in values) + tuple(id for id in IDS if id.startswith("state."))
    return report(backend("numpy", undeclared=gradients), backend("swapped", failing, gradients))


def large() -> Report:
    """40 backends, all properties, 500 failures."""
    names = [f"framework-{k:02}-lstm" for k in range(40)]
    return report(*(backend(name, IDS[k : k + 13 - k % 2]) for k, name in enumerate(names)))


def incomplete() -> Report:
    """One backend came to its end, one did not, and one was never begun."""
    cut = replace(backend("cut"), interrupted=Interruption("interrupted", 3))
    return report(backend("whole"), cut, missing=("never",))


def misconverted() -> Report:
    """Two models' files: the weights of one are the trained ones, those of the other were converted wrongly."""
    gates = Taken(("weight_ih_l0", "weight_hh_l0"), gates="ifgo")
    told = (
        WeightsCompared("wrong.onnx", "/enc/LSTM", "t.npz", "enc", Likeness.DIFFERENT, gates="iofg", taken=(gates,)),
        WeightsCompared("wrong.onnx", "/dec/LSTM", "t.npz", "dec", Likeness.EQUAL),
        WeightsCompared("wrong.onnx", "", "t.npz", "dec, layer 1", Likeness.MISSING),
        WeightsCompared("right.onnx", "/enc/LSTM", "t.npz", "enc", Likeness.EQUAL),
    )
    names = [f"{each.file}:{each.lstm}@runtime:{each.weights}" for each in told if each.lstm]
    judged = report(*(backend(name, ("values.output",) if "/enc" in name else ()) for name in names))
    return replace(judged, asked=replace(judged.asked, weights=told))


def hostile() -> Report:
    """Backends whose every text is hostile."""

    def bad(text: str) -> BackendReport:
        call = evidence()
        shown = replace(
            call,
            call=text,
            given=tuple(replace(each, name=text) for each in call.given),
            compared=tuple(replace(each, tensor=text) for each in call.compared),
            traceback=text,
        )
        verdict = failed(text, "values.output")
        said = replace(verdict, fact=Said(text), smallest=text, evidence=shown, history=("I=1 H=1 L=1 N=1",))
        expected = Verdict(text, "values.h_n", Outcome.EXPECTED_FAILURE, Said(text), expected=text)
        cause = Cause(Degree.LOCATED, explains=("values.output",), seen_in=text, fix=text)
        return BackendReport(
            text,
            (Verdict(text, "smoke.runs", Outcome.PASSED, cases=1), said, expected),
            note=text,
            own_name=text,
            frameworks={text: text},
            measured=measured(),
            choices={text: {text: 1, "none": 0}},
            diagnosis=Diagnosis((cause,), calls=1, seconds=1.0, limit=1.0, defect=text),
        )

    whole = report(*map(bad, HOSTILE), missing=HOSTILE)
    taken = (Taken(("weight_ih_l0",), owner=HOSTILE[0]),)
    weights = tuple(
        WeightsCompared(text, text, text, text, likeness, taken=taken, note=text)
        for text in HOSTILE
        for likeness in (Likeness.DIFFERENT, Likeness.UNMATCHED, Likeness.EQUAL)
    )
    asked = Asked(targets=HOSTILE, only=HOSTILE, command=HOSTILE, started=HOSTILE[0], weights=weights)
    return replace(whole, asked=asked, environment={text: text for text in HOSTILE})
