"""What the tests share as fixtures."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Command, Printed

from conformance.backend import Backend
from conformance.cases import fixed_set
from conformance.cases.recipe import Recipe
from conformance.drivers import cli
from conformance.engine import plan
from conformance.engine.offers import Offers
from conformance.properties.gradients import sized
from conformance.properties.sizes import bits
from conformance.targets import registry

# A shell that runs the tests in the background has them, and the commands that they start, ignore interruptions.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers, puts on the path or imports from a temporary folder is forgotten; caches are its own."""
    monkeypatch.setattr(registry, "registered", dict(registry.registered))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / "cache"))
    # pytest-xdist gives its workers 80.
    monkeypatch.delenv("COLUMNS", raising=False)
    # No run begins with what an earlier one found.
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path_factory.getbasetemp() / "hypothesis"))
    yield
    temporary = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(temporary):
            del sys.modules[name]


@pytest.fixture
def fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of all around it: sequences of some hundred steps in the place of ten thousand and more."""
    monkeypatch.setattr(bits, "PAST_16_BITS", 701)
    monkeypatch.setattr(sized, "_STRETCHES", 100)


@pytest.fixture
def few_rows(fewer_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of all around it: of the fixed set the simplest rows, every fifth of the others, and the long one.

    Large properties are asked about one case each, and others that have a limit, as those of gradients, about three.
    """

    def fewer(backend: Backend, seed: int) -> list[Recipe]:
        rows = fixed_set.fixed_set(backend, seed)
        return [*rows[:4], *rows[4:-1:5], rows[-1]]

    monkeypatch.setattr(plan, "fixed_set", fewer)
    monkeypatch.setattr(Offers, "_limit", lambda _, p: 1 if p.cost else min(p.limit, 3))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the test's own, in which it runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process, in a folder of the test's own."""

    def run(*arguments: str) -> Printed:
        try:
            code = cli.main(arguments)
        except SystemExit as ended:  # argparse
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return Printed(code, printed.out, printed.err)

    return run
