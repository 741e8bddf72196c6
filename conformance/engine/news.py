"""News: what is told of a run while it goes on, one record after the other, through one callback.

A failure is told when it is met, and once more when its verdict is settled. ``Advanced`` comes whenever the engine has
come to a rest: after each case, and after each failure that was dealt with. So whoever gathers news may wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.errors import SuiteError, UsageError
from conformance.report.model import BackendReport, Verdict


@dataclass(frozen=True)
class Began:
    """A target begins: it is loaded, in a process of its own where it has one."""


@dataclass(frozen=True)
class Resumed:
    """A target was judged in part before: it goes on from there, or is judged anew for a ``reason``."""

    reason: str = ""


@dataclass(frozen=True)
class Judging:
    """The backend was found, and its cases begin."""

    #: Makes the report of what is known by now; to be called only while news of the same backend is told.
    so_far: Callable[[], BackendReport]


@dataclass(frozen=True)
class Advanced:
    """The engine has come so far."""

    #: Cases, and all of them, the random ones included; 0 while the fixed set is still worked out.
    done: int
    total: int
    #: Properties that are asked and have not failed, and those that make the backend not conformant.
    standing: int
    failing: int


@dataclass(frozen=True)
class Failed:
    """A property fails for the first time; the verdict has the case at which it was met, which is shrunk after that."""

    verdict: Verdict
    #: Whether it makes the backend not conformant.
    counts: bool


@dataclass(frozen=True)
class Settled:
    """A property that does not hold has its verdict."""

    verdict: Verdict
    counts: bool


@dataclass(frozen=True)
class Diagnosing:
    """The diagnosis begins another step."""

    step: str


@dataclass(frozen=True)
class Finished:
    """A target has its report, or the error for which it has none."""

    judged: BackendReport | UsageError | SuiteError


News = Began | Resumed | Judging | Advanced | Failed | Settled | Diagnosing | Finished

#: Told of what happens to one backend.
Tell = Callable[[News], None]


def unheard(news: News) -> None:
    """For a run that nobody listens to."""


def counting(progress: Callable[[int, int], None]) -> Tell:
    """Tell the cases done and all of them, whenever they have changed."""
    last = 0, 0

    def tell(news: News) -> None:
        nonlocal last
        if isinstance(news, Advanced) and news.total and last != (news.done, news.total):
            last = news.done, news.total
            progress(*last)

    return tell
