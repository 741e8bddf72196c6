"""The pattern of dropped elements that is read off a model's results in training."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from conformance.bounds.chance import surprise
from conformance.instruments.masks import RATES, Reading, read
from conformance.properties.dropout.shared import CHECKS, LIMIT, NEEDS, precise
from conformance.properties.model import pairs, prop
from conformance.trials.mismatch import mismatch
from conformance.trials.outcomes import Discard, Violation, within
from conformance.trials.trial import Trial

#: The axes of what is read off, as a person names their places.
_AXES = ("boundaries", "calls", "steps", "rows", "directions", "features")

#: The probabilities, and whether a call of one row and one step comes first, to whose size a mask may be kept.
_READINGS = pairs(RATES, (False, True))


def _reading(trial: Trial) -> Reading:
    """The elements dropped in the reading whose turn it is, read off once for all properties that take the same one."""
    p, after_one = trial.in_turn(_READINGS)
    after_one = after_one and not trial.backend.capabilities.compiled
    return trial.once(f"reading at {p}, {after_one}", lambda: read(trial, p, after_one))


def legible(trial: Trial) -> Reading:
    """The reading, if it explains the results; otherwise it means nothing, and ``dropout.elements`` fails."""
    reading = _reading(trial)
    if not reading.worst.margin() <= 1.0:
        raise Discard
    return reading


@prop("dropout.elements", needs=(*NEEDS, "output"), when=precise, limit=CHECKS, chance=True, turns=len(_READINGS))
def elements(trial: Trial) -> None:
    """In training a layer gets each element of the output below it as 0 or as y/(1 − p), and nothing else is changed.

    The recurrence, the states and the last layer's output stay, and both directions get the same elements.
    """
    reading = _reading(trial)
    worst = reading.worst
    if not worst.margin() <= 1.0:
        rows = reading.case.batch
        axis = 1 if worst.tensor == "output" else 0
        at = int(np.unravel_index(int(np.argmax(worst.ratios())), worst.actual.shape)[axis]) // rows
        parts = (
            np.take(part, range(at * rows, (at + 1) * rows), axis)
            for part in (worst.actual, worst.expected, worst.bound)
        )
        one = replace(worst, **dict(zip(("actual", "expected", "bound"), parts, strict=True)))
        with within(f"call {at + 1}, against the nearest that dropped and scaled elements give", reading.case):
            raise Violation(mismatch(one, reading.case), worst.margin())
    trial.record(worst.margin())


@prop("dropout.rate", needs=(*NEEDS, "output"), when=precise, limit=CHECKS, chance=True, turns=len(_READINGS))
def rate(trial: Trial) -> None:
    """In training the share of elements that are dropped is p, between every two layers and in both directions.

    p is the probability of dropping. Ports from a p of keeping (TensorFlow 1's ``keep_prob``) confuse the two.
    """
    reading = legible(trial)
    p, valid = reading.case.config.dropout, reading.valid
    D = reading.case.config.num_directions
    for k, d in product(range(len(reading.dropped)), range(D)):
        there = reading.dropped[k, :, valid, d]
        if surprise(int(there.sum()), there.size, p) > LIMIT:
            half = "" if D == 1 else f" in the {('forward', 'reverse')[d]} half"
            raise Violation(
                f"of {there.size:,} elements between layers {k} and {k + 1}{half}, {int(there.sum()):,} were dropped "
                f"with dropout={p:g}: a share of {there.mean():.3f}",
                case=reading.case,
            )


@prop("dropout.independence", needs=(*NEEDS, "output"), when=precise, limit=CHECKS, chance=True, turns=len(_READINGS))
def independence(trial: Trial) -> None:
    """In training each element is dropped by a chance of its own, at every layer, call, step, row and feature.

    One mask for all steps is another technique (Gal & Ghahramani 2016), and a seed set at every call is a defect.
    """
    reading = legible(trial)
    valid = np.broadcast_to(reading.valid[..., None, None], reading.dropped.shape)
    worst = 0.0, ""
    for axis, name in enumerate(_AXES):
        dropped, there = (np.moveaxis(part, axis, 0) for part in (reading.dropped, valid))
        pairs = len(dropped) // 2
        first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        both = there[first] & there[second]
        a, b = dropped[first][both], dropped[second][both]
        # Given how many of each are dropped, they meet as if b were drawn without replacement, whatever the rate.
        met, share = int((a & b).sum()), float(b.mean()) if b.size else 0.0
        told = (
            f"neighbouring {name}: where one element was dropped, so was the next in {met:,} of {int(a.sum()):,} cases"
        )
        told += f"; the share of the next that were dropped is {share:.3f} in all"
        worst = max(worst, (surprise(met, int(a.sum()), share), told))
    if worst[0] > LIMIT:
        raise Violation(worst[1], case=reading.case)
