"""Two faults at once: both are in the LSTM that is judged, and neither hides the other."""

from __future__ import annotations

import pytest
from programs import Command

from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.faults import FAULTS, backend_of
from conformance.selftest.pairs import Pair, PairTest, contained, joined, ring, table, to_json


def test_both_faults_of_a_pair_are_reported() -> None:
    both = joined(FAULTS["h-0-ignored"], FAULTS["x-scaled-in-place"])
    assert both is not None
    only = ("state.h-alone", "purity.input-untouched")
    report = conform(backend_of(both), Settings(cases=0, only=only, shrink=False))
    assert {verdict.property for verdict in report.verdicts if verdict.outcome == "failed"} == set(only)


def test_faults_of_the_same_piece_are_no_pair() -> None:
    assert joined(FAULTS["h-0-ignored"], FAULTS["c-0-ignored"]) is None


@pytest.mark.parametrize(
    ("of_size", "shows", "everywhere", "always"),
    [
        ("square-mask-transposed", "lengths.square", "c-n-squashed", "values.c_n"),
        ("h-dropped-every-16-steps", "sequence.long", "weights-in-half", "values.output"),
        ("rows-past-128", "sizes.rows", "forget-bias-one", "values.output"),
        ("layers-past-4", "stack.deep", "output-gate-tanh", "values.output"),
    ],
)
def test_a_fault_of_the_size_is_reported_beside_one_at_every_size(
    of_size: str, shows: str, everywhere: str, always: str
) -> None:
    both = joined(FAULTS[of_size], FAULTS[everywhere])
    assert both is not None
    settings = Settings(cases=0, only=(shows, always), shrink=False)
    told = {
        name: sorted(v.property for v in conform(backend_of(one), settings).verdicts if v.outcome.bad)
        for name, one in (("both", both), ("everywhere", FAULTS[everywhere]))
    }
    assert told == {"both": sorted([always, shows]), "everywhere": [always]}


def test_a_fault_that_contains_the_other_makes_no_distinct_pair() -> None:
    everywhere, somewhere = FAULTS["recurrent-bias-ignored"], FAULTS["recurrent-bias-lost-in-last-block"]
    assert contained(everywhere, somewhere, 0)
    assert not contained(somewhere, FAULTS["h-0-ignored"], 0)
    # No case of the fixed set has so many units: it is hidden, not contained.
    assert not contained(FAULTS["forget-bias-one"], FAULTS["units-past-512"], 0)
    # Only a later call shows the second.
    assert not contained(everywhere, FAULTS["first-call-ignores-state"], 0)


@pytest.mark.parametrize("seed", range(3))
def test_each_fault_of_a_ring_can_be_joined_with_the_next(seed: int) -> None:
    faults = ring(8, seed)
    assert len({fault.id for fault in faults}) == 8
    assert all(joined(a, b) for a, b in zip(faults, [*faults[1:], faults[0]], strict=True))
    assert ring(8, seed) == faults
    assert len(ring(100, seed)) == 100, "the largest can be closed"


@pytest.mark.parametrize("count", [0, 1, 101])
def test_a_ring_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=rf"{count} pairs .*\n.*2 to 100"):
        ring(count, 0)


def test_a_hidden_fault_is_told_and_alike_ones_are_not_counted_as_reported() -> None:
    reported = Pair("a", "b", ("values.output",), ("purity.repeat",), distinct=True)
    hidden = Pair("c", "d", ("values.output",), (), distinct=True)
    alike = Pair("e", "f", (), (), distinct=False)
    assert PairTest((reported, alike)).passed
    assert not PairTest((reported, hidden)).passed
    assert not PairTest((alike,)).passed
    assert not PairTest((reported,), missing=1).passed
    text = table(PairTest((reported, hidden, alike), missing=2))
    assert "HIDDEN" in text
    assert "1 of 2 pairs" in text
    assert "interrupted: 2 missing" in text
    assert to_json(PairTest((hidden,)))["passed"] is False


@pytest.mark.parametrize("more", [["h-0-ignored"], ["--attribute"], ["--peers"]])
def test_what_pairs_would_ignore_is_refused(more: list[str], command: Command) -> None:
    code, _, err = command("self-test", "--pairs", "2", *more)
    assert code == 2
    assert "--pairs draws its own faults" in err
