"""The pytest plugin: each property of a backend is one pytest item, and all of them read one run of the engine.

Two doors: ``conformance_tests(target)`` in a test file, and ``--lstm-backend`` or the ini list ``lstm_backends``
without any test file.

pytest loads this package whenever it starts, in every project of an environment. So it stands beside ``conformance``
and loads nothing of it: no NumPy, no Hypothesis. A project may also have a ``conformance.py`` of its own, which is the
one to be imported there. ``conformance/drivers/pytest_suite.py``, which has the engine with it, is loaded only where
there is something to judge.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lstm_conformance_pytest.workers import scheduler, spreads

if TYPE_CHECKING:
    from conformance.drivers.pytest_suite import Suite

#: The user property in which a worker of pytest-xdist sends a report to the controller.
PARCEL = "lstm-conformance"


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
    group.addoption(
        "--lstm-diagnose", type=float, metavar="S", help="Seconds for the causes of what fails (20); 0 for none."
    )
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


def hiding() -> str | None:
    """The file of another module ``conformance`` that is imported instead of the suite, if there is one."""
    loaded = sys.modules.get("conformance")
    spec = find_spec("conformance") if loaded is None else loaded.__spec__
    file = None if spec is None else spec.origin
    own = Path(__file__).parents[1] / "conformance" / "__init__.py"
    return None if file is None or Path(file).resolve() == own.resolve() else file


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
        """Load the suite, if it has not been. Raises ``pytest.UsageError`` where another module hides it."""
        if file := hiding():
            raise pytest.UsageError(
                f"lstm-conformance cannot judge here: {file} hides its package, which has the same name. "
                "Rename that file, or run pytest where it is not on sys.path."
            )
        _ = self.suite

    def pytest_report_header(self) -> str | None:
        """Who expects items hears why there are none; a warning proper would end runs that make errors of warnings."""
        return f"lstm-conformance: warning: stands aside, for {file} hides its package" if (file := hiding()) else None

    def pytest_pycollect_makeitem(
        self, collector: pytest.Module | pytest.Class, name: str, obj: Any
    ) -> Sequence[pytest.Item] | None:
        """The items of ``name = conformance_tests(...)`` in a test file, which has loaded that function."""
        request = sys.modules.get("conformance.drivers.pytest_request")
        if request is None or type(obj) is not request.ConformanceTests:
            return None
        return self.suite.items(collector, obj, f"{name}[{{property}}]")

    # Across pytest-xdist

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """In the controller: tell a worker what it cannot know."""
        node.workerinput["lstm_parts"] = node.workerinput["workercount"] if spreads(self.config) else 1
        node.workerinput["lstm_stop"] = self.config.getoption("maxfail") == 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """In the controller: each part of a backend's properties goes to one worker."""
        return scheduler(config, log)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the controller: take out what a worker sent, before junit.xml gets to see it."""
        if not hasattr(self.config, "workerinput"):
            for _, parcel in (each for each in report.user_properties if each[0] == PARCEL):
                self.suite.unpack(str(parcel))
            report.user_properties = [each for each in report.user_properties if each[0] != PARCEL]
