"""The request for pytest items that a test file makes; the plugin ``lstm_conformance_pytest`` fulfils it.

Neither pytest nor the engine is loaded here: a test file may stand where there is no pytest, and is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from conformance.backend import Backend
from conformance.errors import UsageError


@dataclass(frozen=True)
class ConformanceTests:
    """A request for items, which the plugin fulfils when pytest collects the file."""

    target: str | Backend | Callable[..., Any]
    cases: int | None = None
    seed: int | None = None
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    stop: bool = False
    shrink: bool = True
    strict: bool = False
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None
    diagnose: float | None = None


def conformance_tests(
    target: str | Backend | Callable[..., Any],
    *,
    cases: int | None = None,
    seed: int | None = None,
    only: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    stop: bool = False,
    shrink: bool = True,
    strict: bool = False,
    expected_failures: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    diagnose: float | None = None,
    properties: str | Sequence[str] | None = None,
) -> ConformanceTests:
    """One pytest item per property that ``target`` declares: ``test_my_lstm = conformance_tests("my_lstm:build")``.

    The arguments are those of ``check_backend``. ``--lstm-cases``, ``--lstm-seed`` and ``--lstm-diagnose`` override
    ``cases``, ``seed`` and ``diagnose``, ``--lstm-strict`` is as good as ``strict``, and pytest's ``-x`` as ``stop``.
    Without ``strict``, a missing guard is an xfail. Raises ``UsageError`` where pytest is not installed.
    """
    if find_spec("pytest") is None:
        raise UsageError(
            "conformance_tests makes items for pytest, which is not installed",
            "install it with `pip install pytest`, or call check_backend, which needs no pytest",
        )
    chosen, left_out, known = names_of(only or properties or ()), names_of(exclude), dict(expected_failures or {})
    return ConformanceTests(target, cases, seed, chosen, left_out, stop, shrink, strict, known, progress, diagnose)


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names of properties and groups, of which one may stand alone."""
    return (given,) if isinstance(given, str) else tuple(given)
