"""What a run measured beside its verdicts: errors and times by size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The cases of one dtype and of like sizes: how near they came to their bounds, and how long a call took."""

    dtype: str
    #: The smallest powers of two that are not below the steps L and the hidden size H.
    steps: int
    hidden: int
    #: Cases that were judged.
    cases: int
    #: The largest error of their values as a share of its bound; None if no values were judged.
    margin: float | None
    #: The median of the wall-clock seconds of the calls that all properties share.
    seconds: float
