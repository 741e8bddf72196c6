"""The C example: its README's lines, the reason when it is not built, and what its header promises beyond the suite."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import ROOT

from conformance.drivers.run import run
from conformance.engine.plan import Settings
from conformance.targets import registry
from conformance.targets.find import find

TARGET = "implementations/c_lstm/c_lstm.py"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: there is no cc on the PATH")


@pytest.fixture
def example(folder: Path) -> Path:
    """A copy of the example, not built, where a reader of its README would stand."""
    return copy(folder)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The adapter's module, with its library built."""
    folder = tmp_path_factory.mktemp("c")
    source = copy(folder) / "c_lstm.py"
    build(folder)
    spec = importlib.util.spec_from_file_location("c_lstm_of_the_tests", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "registered", dict(registry.registered))
        spec.loader.exec_module(module)
    return module


def copy(root: Path) -> Path:
    folder = root / "implementations/c_lstm"
    shutil.copytree(ROOT / "implementations/c_lstm", folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return folder


def build(root: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Do what the README's first line says, with more flags at its end."""
    readme = (root / "implementations/c_lstm/README.md").read_text()
    line = next(line for line in readme.splitlines() if line.startswith("cc "))
    return subprocess.run([*line.split(), *flags], cwd=root, capture_output=True, text=True, check=True)


@pytest.mark.usefixtures("example")
def test_it_conforms() -> None:
    assert build(Path(), "-Wall", "-Wextra", "-Wpedantic", "-Werror").stderr == ""
    report = run([TARGET], Settings(cases=5)).report
    assert report.conformant, [verdict for verdict in report.verdicts if verdict.outcome != "passed"]


def test_the_reason_tells_how_to_build_it(example: Path) -> None:
    backend = find(TARGET)
    command = f"cc -std=c99 -O2 -shared -fPIC -o {example / 'liblstm.so'} {example / 'lstm.c'} -lm"
    assert backend.available() == f"liblstm.so is not built: {command}"
    subprocess.run(command.split(), check=True)
    assert backend.available() is None


def test_a_library_older_than_its_source_is_not_judged(example: Path) -> None:
    build(Path())
    (example / "lstm.inc").touch()
    assert str(find(TARGET).available()).startswith("liblstm.so is older than its source: cc ")


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [chance.standard_normal(shape).astype("float32") for shape in shapes]


def test_a_state_may_be_updated_in_place(library: Any) -> None:
    x, W_ih, W_hh, h, c = arrays((5, 1, 3), (8, 3), (8, 2), (1, 1, 2), (1, 1, 2))
    config = library.Config(input_size=3, hidden_size=2, num_layers=1)
    cell = library.Cell(weight_ih=W_ih.ctypes.data, weight_hh=W_hh.ctypes.data)

    def forward(x: np.ndarray, h_0: np.ndarray, c_0: np.ndarray, h_n: np.ndarray, c_n: np.ndarray) -> np.ndarray:
        output, workspace = arrays((len(x), 1, 2), (library.library().lstm_workspace(config, len(x), 1),))
        pointers = map(library.pointer, (x, h_0, c_0, None, output, h_n, c_n, workspace))
        assert library.library().lstm_forward_f32(config, ctypes.byref(cell), len(x), 1, *pointers) == 0
        return output

    h_n, c_n = np.empty_like(h), np.empty_like(c)
    whole = forward(x, h, c, h_n, c_n)
    stepwise = np.concatenate([forward(x[t : t + 1], h, c, h, c) for t in range(len(x))])
    assert np.array_equal(stepwise, whole)
    assert np.array_equal(h, h_n)
    assert np.array_equal(c, c_n)


@pytest.mark.parametrize(
    ("sizes", "weights", "lengths", "status"),
    [
        ({"input_size": 0}, (), None, "LSTM_BAD_CONFIG"),
        ({"proj_size": 2}, (), None, "LSTM_BAD_CONFIG"),
        ({}, ("weight_hr",), None, "LSTM_BAD_CONFIG"),
        ({}, ("bias_ih",), None, "LSTM_BAD_CONFIG"),
        ({}, (), [5], "LSTM_BAD_LENGTH"),
        ({}, (), [-1], "LSTM_BAD_LENGTH"),
        ({}, (), [0], "LSTM_OK"),
    ],
)
def test_a_bad_call_writes_nothing(
    library: Any, sizes: dict[str, int], weights: tuple[str, ...], lengths: list[int] | None, status: str
) -> None:
    x, weight, output, h_n, c_n, workspace = arrays((4, 1, 3), (64,), (4, 1, 2), (1, 1, 2), (1, 1, 2), (64,))
    config = library.Config(**({"input_size": 3, "hidden_size": 2, "num_layers": 1} | sizes))
    cell = library.Cell(**dict.fromkeys(("weight_ih", "weight_hh", *weights), weight.ctypes.data))
    results = output, h_n, c_n
    before = [part.copy() for part in results]
    rows = None if lengths is None else np.array(lengths)
    pointers = map(library.pointer, (x, None, None, rows, *results, workspace))
    found = library.library().lstm_forward_f32(config, ctypes.byref(cell), 4, 1, *pointers)
    assert library.STATUS[found] == status
    same = [np.array_equal(a, b) for a, b in zip(results, before, strict=True)]
    assert all(same) if status != "LSTM_OK" else not any(same)
