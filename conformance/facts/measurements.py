"""What a run measured beside its verdicts: errors and times by size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The cases of one dtype and of like sizes: how near they came to their bounds, and how long a call took."""

    #: The dtype of the cases.
    dtype: str
    #: The smallest power of two that is not below the number of steps L.
    steps: int
    #: The smallest power of two that is not below the hidden size H.
    hidden: int
    #: Cases whose call came back.
    cases: int
    #: The largest error of their values as a share of its bound; None if no values were judged.
    margin: float | None
    #: The median of the wall-clock seconds of the calls that all properties share.
    seconds: float
