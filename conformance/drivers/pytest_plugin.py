"""The pytest plugin: each property of a backend is one pytest item, and all of them read one run of the engine.

Two doors: ``conformance_tests(target)`` in a test file, and ``--lstm-backend`` or the ini list ``lstm_backends``
without any test file. pytest loads this module whenever it starts; ``pytest_suite.py``, which has the engine with it,
only where there is something to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conformance.backend import Backend
    from conformance.drivers.pytest_suite import Suite

#: The user property in which a worker of pytest-xdist sends a backend's report to the controller.
PARCEL = "lstm-conformance"


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


def conformance_tests(
    target: str | Backend | Callable[..., Any],
    *,
    cases: int | None = None,
    seed: int | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    stop: bool = False,
    shrink: bool = True,
    strict: bool = False,
    expected_failures: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    properties: Sequence[str] | None = None,
) -> ConformanceTests:
    """One pytest item per property that ``target`` declares: ``test_my_lstm = conformance_tests("my_lstm:build")``.

    The arguments are those of ``check_backend``. ``--lstm-cases`` and ``--lstm-seed`` override ``cases`` and ``seed``,
    and ``--lstm-strict`` is as good as ``strict``. Without it, a missing guard is an xfail.
    """
    chosen, left_out, known = tuple(only or properties or ()), tuple(exclude), dict(expected_failures or {})
    return ConformanceTests(target, cases, seed, chosen, left_out, stop, shrink, strict, known, progress)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the ini list of a project's own backends."""
    group = parser.getgroup("lstm-conformance", "conformance of LSTM implementations")
    group.addoption(
        "--lstm-backend",
        action="append",
        default=[],
        metavar="TARGET",
        help="Judge a backend, without any test file: a name, module:attr or file.py:attr. May be repeated.",
    )
    group.addoption("--lstm-cases", type=int, metavar="N", help="Random cases on top of the fixed set (100).")
    group.addoption("--lstm-seed", type=int, metavar="N", help="Seed of all values (0).")
    group.addoption("--lstm-strict", action="store_true", help="A guard that is missing fails, instead of an xfail.")
    group.addoption(
        "--lstm-isolate",
        action="store_true",
        help="Hold each backend in a process of its own: a crash or a hang is then a verdict. Targets must be text.",
    )
    parser.addini("lstm_backends", "backends that a run without path arguments judges", type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Everything else needs a memory, one for each session."""
    plugin = Plugin(config)
    config.pluginmanager.register(plugin, "lstm-conformance-plugin")
    if config.getoption("lstm_backend") or config.getini("lstm_backends"):
        plugin.begin()


class Plugin:
    """The hooks by which a session that judges something is known."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @cached_property
    def suite(self) -> Suite:
        """The part that judges, loaded and registered when it is first needed."""
        # In vain for most sessions: the engine, NumPy and Hypothesis come with it.
        suite = import_module("conformance.drivers.pytest_suite").Suite(self.config)
        self.config.pluginmanager.register(suite, "lstm-conformance-suite")
        return suite

    def begin(self) -> None:
        """Load the suite, if it has not been."""
        _ = self.suite

    def pytest_pycollect_makeitem(
        self, collector: pytest.Module | pytest.Class, name: str, obj: object
    ) -> Sequence[pytest.Item] | None:
        """The items of ``name = conformance_tests(...)`` in a test file."""
        if type(obj) is not ConformanceTests:
            return None
        return self.suite.items(collector, obj, f"{name}[{{backend}}::{{property}}]")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the controller of pytest-xdist: take out what a worker sent, before junit.xml gets to see it."""
        if not hasattr(self.config, "workerinput"):
            for _, parcel in (each for each in report.user_properties if each[0] == PARCEL):
                self.suite.unpack(str(parcel))
            report.user_properties = [each for each in report.user_properties if each[0] != PARCEL]
