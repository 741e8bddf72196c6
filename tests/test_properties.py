"""Every property is proven: by a fault that it catches, asked alone, and by the correct twin, which none accuses."""

from __future__ import annotations

import re

import pytest

from conformance.cases.recipe import parse
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, backend_of, twin_backend
from conformance.properties import GROUPS, catalogue
from conformance.properties.model import NEEDS, needs_of, prop
from conformance.trials.trial import Trial
from lstm_conformance_pytest.workers import part_of

#: For each property a fault of its own kind.
PROOF = {
    "smoke.runs": "answer-of-three",
    "layout.shapes": "one-step-squeezed",
    "layout.dtypes": "answer-in-float64",
    "layout.final-state": "h-n-of-first-step",
    "layout.state-order": "c-n-directions-swapped",
    "layout.batch-first": "batch-first-reshaped",
    "layout.unbatched": "one-row-squeezed",
    "values.output": "gate-order-iofg",
    "values.h_n": "lower-h-n-is-top",
    "values.c_n": "c-n-is-h-n",
    "values.gates": "forget-bias-one",
    "values.activations": "tanh-dented",
    "values.digital": "gate-order-iofg",
    "values.accumulation": "half-accumulation",
    "sequence.stepwise": "one-step-ignores-h-0",
    "sequence.chunks": "one-step-ignores-h-0",
    "sequence.causality": "looks-ahead",
    "sequence.zero-steps": "zero-steps-are-padding",
    "sequence.long": "steps-past-100",
    "direction.reversal": "reverse-not-flipped-back",
    "direction.forward-half": "halves-swapped",
    "direction.swap": "reverse-recurrent-bias-ignored",
    "direction.independence": "halves-summed",
    "stack.composition": "upper-biases-of-layer-below",
    "stack.upper-weights": "lower-h-n-is-top",
    "stack.deep": "layers-past-4",
    "batch.permutation": "first-row-output-gate",
    "batch.single-row": "single-row-state-ignored",
    "batch.isolation": "row-reads-neighbour",
    "lengths.row-alone": "reverse-starts-in-padding",
    "lengths.zero-output": "padding-not-zero",
    "lengths.padding": "padding-times-zero",
    "lengths.more-padding": "output-cut-at-the-longest",
    "lengths.all-full": "full-lengths-lose-the-state",
    "lengths.sorted": "unsorted-by-the-same-permutation",
    "lengths.other-rows": "length-of-row-before",
    "lengths.after-others": "lengths-kept-for-a-shape",
    "lengths.square": "square-mask-transposed",
    "lengths.many-rows": "lengths-of-16-rows",
    "lengths.long": "lengths-of-8-bits",
    "state.none-is-zeros": "none-is-small",
    "state.h-alone": "h-0-ignored",
    "state.c-alone": "c-0-ignored",
    "state.slots": "first-layer-state-for-all",
    "state.carry": "leaky-forget",
    "parameters.bias-sum": "recurrent-bias-ignored",
    "parameters.no-bias": "no-bias-defaults",
    "parameters.zero-slot": "first-biases-for-all",
    "parameters.equal": "equal-biases-once",
    "parameters.pruned": "pruned-rows-folded",
    "parameters.unit-permutation": "units-past-a-multiple-of-4",
    "parameters.zero-weights": "forget-bias-one",
    "parameters.fresh": "stale-by-all-but-top",
    "numerics.hidden-range": "halves-summed",
    "numerics.cell-growth": "input-gate-added",
    "numerics.saturation": "sigmoid-nan-past-88",
    "numerics.large-inputs": "input-clipped",
    "numerics.subnormal": "nan-from-scaling",
    "numerics.scaling": "small-inputs-flushed",
    "numerics.projected-range": "projected-clipped-at-20",
    "numerics.no-clipping": "cell-clipped-at-100",
    "numerics.large-h_0": "h-0-clipped-at-8",
    "nonfinite.nan-isolated": "nan-spread",
    "nonfinite.nan-kept": "nan-clamped",
    "nonfinite.nan-state": "nan-state-reset",
    "nonfinite.nan-weight": "nan-weights-cleaned",
    "nonfinite.infinite-input": "tanh-nan-at-infinity",
    "nonfinite.huge-input": "input-norm-overflows",
    "nonfinite.infinite-state": "h-kept-by-arithmetic",
    "nonfinite.huge-cell": "cell-square-overflows",
    "degenerate.no-rows": "no-rows-give-one",
    "degenerate.no-steps": "no-steps-forget-h-0",
    "degenerate.then-right": "empty-call-clears-workspace",
    "degenerate.no-length": "length-0-takes-a-step",
    "degenerate.ones": "one-unit-misses-recurrence",
    "gradients.layout": "gradient-unbatched-row-kept",
    "gradients.primal": "gradient-primal-in-half",
    "gradients.preactivations": "gradient-output-gate-a-little",
    "gradients.input": "gradient-x-by-half-weights",
    "gradients.state": "gradient-of-c-0-none",
    "gradients.weights": "gradient-recurrent-weights-from-new-h",
    "gradients.biases": "gradient-upper-biases-none",
    "gradients.h_n-loss": "gradient-of-h-n-ignored",
    "gradients.c_n-loss": "gradient-of-c-n-ignored",
    "gradients.output-loss": "gradient-of-last-output-alone",
    "gradients.repeat": "gradient-accumulates",
    "gradients.after-others": "gradient-at-last-forward",
    "gradients.untouched": "gradient-of-c-n-as-scratch",
    "gradients.other-calls": "gradient-lengths-stay",
    "gradients.no-alias": "gradients-kept-uncopied",
    "gradients.broadcast": "gradient-of-first-broadcast",
    "gradients.threads": "gradient-in-one-workspace",
    "gradients.dyadic": "gradient-gates-swapped",
    "gradients.linear": "gradient-clipped-at-65504",
    "gradients.causality": "gradient-reverse-x-not-flipped-back",
    "gradients.padding": "gradient-in-padding",
    "gradients.none-is-zeros": "gradient-of-state-unless-given",
    "gradients.many-steps": "gradient-by-recursion",
    "gradients.long": "gradient-steps-past-512",
    "gradients.untapped": "gradient-past-32-units",
    "gradients.sums": "gradient-weights-past-128-steps",
    "gradients.large": "gradient-past-256-units",
    "gradients.sweep": "gradient-units-by-fours",
    "gradients.equal-sizes": "gradient-x-transposed-by-shape",
    "gradients.equal-parameters": "gradient-of-equal-weights-added",
    "gradients.zeros": "gradient-of-zero-biases",
    "gradients.nan-kept": "gradient-nan-to-num",
    "gradients.no-rows": "gradient-of-no-rows",
    "dropout.evaluation": "dropout-scaled-in-evaluation",
    "dropout.nothing": "dropout-of-one-layer",
    "dropout.idle-gradients": "gradient-in-training-without-dropout",
    "dropout.everything": "dropout-of-all-not-a-number",
    "dropout.everything-gradients": "gradient-dropout-of-everything",
    "dropout.first-layer": "dropout-of-the-input",
    "dropout.elements": "dropout-unscaled",
    "dropout.rate": "dropout-a-tenth-less",
    "dropout.independence": "dropout-mask-for-all-steps",
    "dropout.threads": "gradient-dropout-mask-of-the-last-caller",
    "dropout.gradients": "gradient-dropout-forgotten",
    "purity.repeat": "random-dropout-in-evaluation",
    "purity.input-untouched": "x-scaled-in-place",
    "purity.lengths-untouched": "lengths-sorted-in-place",
    "purity.state-untouched": "h-0-updated-in-place",
    "purity.params-untouched": "biases-summed-in-place",
    "purity.result-survives": "output-in-sixteen-buffers",
    "purity.no-alias": "c-n-in-c-0",
    "purity.own-states": "own-state-donated",
    "purity.no-leak": "state-leaks",
    "purity.reused-input": "kept-by-address",
    "purity.other-shape": "workspace-not-cleared",
    "purity.other-calls": "lengths-stay-in-training",
    "purity.two-models": "latest-model-runs",
    "purity.threads": "static-h",
    "purity.non-contiguous": "reads-memory-order",
    "purity.mixed-views": "c-0-taken-like-h-0",
    "purity.broadcast-state": "state-of-one-row",
    "purity.broadcast-input": "x-of-one-step",
    "purity.offset": "reads-from-base",
    "purity.negative-stride": "reads-unsigned-strides",
    "purity.fortran": "reads-memory-order",
    "purity.read-only": "needs-writable-input",
    "purity.load": "load-forgets-reverse",
    "purity.load-copies": "load-keeps-arrays",
    "purity.load-apart": "load-into-equal-models",
    "purity.train": "train-sticks",
    "purity.memory": "outputs-kept",
    "gradients.load": "load-leaves-transposes",
    "gradients.train": "train-ignored-by-vjp",
    "sizes.hidden": "units-past-512",
    "sizes.stacked": "upper-units-past-256",
    "sizes.features": "features-past-1024",
    "sizes.rows": "rows-past-128",
    "sizes.aligned": "aligned-to-8",
    "sizes.products": "output-offset-of-16-bits",
    "sizes.sweep": "units-41-to-48",
    "sizes.past-16-bits": "row-number-of-17-bits",
    "sizes.steps-past-16-bits": "step-counter-of-16-bits",
    "refusals.feature-size": "extra-features-cut",
    "refusals.state-shape": "state-cut",
    "refusals.broadcast-state": "c-0-of-one-unit",
    "refusals.input-dtype": "input-bytes-reinterpreted",
    "refusals.rank": "extra-axis-dropped",
    "refusals.batch-mismatch": "state-cut",
    "refusals.lengths": "lengths-in-a-column",
    "refusals.then-right": "refused-state-kept",
    "refusals.reshaped-state": "state-turned-to-fit",
    "refusals.state-rank": "state-squeezed-to-fit",
    "refusals.reshaped-x": "x-turned-to-fit",
    "refusals.cotangents": "cotangent-reshaped-to-fit",
    "refusals.undeclared": "bidirectional-undeclared",
}


#: Faults of further kinds that some of them ask in turn.
FURTHER = (
    ("purity.other-calls", "ragged-rows-of-first-call"),
    ("gradients.other-calls", "gradient-zeros-of-first-rows"),
    ("sizes.stacked", "reverse-units-past-512"),
)


@pytest.mark.parametrize(("property", "fault"), [*PROOF.items(), *FURTHER])
def test_the_property_alone_catches_its_fault(property: str, fault: str) -> None:
    backend = backend_of(FAULTS[fault])
    [verdict] = conform(backend, Settings(cases=30, only=(property,), shrink=False, stop=True)).verdicts
    assert verdict.outcome in ("failed", "error"), verdict.message


def test_every_need_that_a_property_may_name_is_answered_for_a_backend() -> None:
    assert {*needs_of(twin_backend())} == {*NEEDS}
    with pytest.raises(ValueError, match="needs 'value'; the known needs are"):
        prop("values.example", needs=("value",))


def test_every_property_is_proven() -> None:
    unproven, gone = catalogue().keys() - PROOF.keys(), PROOF.keys() - catalogue().keys()
    assert not unproven, "name in PROOF a fault that each of them catches"
    assert not gone, "these are no properties: take them out of PROOF"


@pytest.mark.parametrize(
    ("id", "least", "most"),
    [("sigmoid-one-past-13", 13, 18), ("tanh-dented", 2.4, 2.6), ("sigmoid-saturates-early", 10, 18)],
)
def test_it_is_told_where_an_activation_is_wrong(id: str, least: float, most: float) -> None:
    fault = FAULTS[id]
    report = conform(backend_of(fault), Settings(cases=0, only=("values.activations",), shrink=False))
    told = re.match(r"(?:gate [ifgo] at a preactivation|tanh\(c\) at c) of (\S+): ", report.verdicts[0].message)
    assert told is not None
    assert least <= abs(float(told[1])) <= most


@pytest.mark.parametrize("part", range(3))
def test_no_property_accuses_the_correct_twin(part: int) -> None:
    """On the whole fixed set, in parts as workers would take them."""
    groups = tuple(group for group in GROUPS if part_of(group, 3) == part)
    report = conform(twin_backend(), Settings(cases=5, only=groups, shrink=False))
    others = {(v.property, v.outcome, v.message) for v in report.verdicts if v.outcome != "passed"}
    undeclared = {("refusals.undeclared", "not declared", "every option is declared")}
    assert others == (undeclared if "refusals" in groups else set())


def test_every_property_is_documented() -> None:
    for p in catalogue().values():
        assert p.group in GROUPS
        assert p.statement.endswith("."), p.id
        assert p.why, p.id


def test_a_wrong_lstm_that_does_not_read_a_number_keeps_nothing() -> None:
    """In a case made small, weights may differ in a number that matters to the oracle alone."""
    zeros = "0:weight_ih_l0,0:weight_hh_l0,0:bias_ih_l0,0:bias_hh_l0[0:2],0:bias_hh_l0[3],0:x"
    trial = Trial(backend_of(FAULTS["gate-order-iofg"]), parse(f"I=1 H=1 L=1 N=1 edits={zeros}"))
    catalogue()["parameters.fresh"].check(trial)
