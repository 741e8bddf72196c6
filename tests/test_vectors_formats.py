"""The forms of vectors for other people: ONNX's runner and a C compiler find what is wrong, WebNN's JSON is right."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import unittest
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import ROOT
from vector_sets import FAULTS, few_candidates

from conformance.faults.twin import Twin
from conformance.spec import Array, LSTMConfig, Params, State
from conformance.vectors.forms import WEBNN_ATOL
from conformance.vectors.search import Asked
from conformance.vectors.writing import write_vectors

EXAMPLE = ROOT / "implementations/c_lstm"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of what needs no package but NumPy."""
    path = tmp_path_factory.mktemp("vectors") / "set"
    with few_candidates():
        write_vectors(path, Asked(), ("c", "webnn"), faults=FAULTS)
    return path


# ONNX


@pytest.fixture(scope="module")
def onnx_tests(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module run.py of a small set, which calls the onnx package's runner."""
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'lstm-conformance[vectors]'")
    path = tmp_path_factory.mktemp("vectors") / "set"
    with few_candidates():
        write_vectors(path, Asked(), ("onnx",), faults=FAULTS)
    return loaded(path / "onnx/run.py")


def loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("run_of_the_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def failures(module: Any, backend: Any) -> tuple[set[str], set[str]]:
    """The tests that the runner ran on the CPU, and those that failed."""
    result = unittest.TestResult()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Without its own tests, which take seconds to be made, and warn.
        patch.setattr("onnx.backend.test.runner.load_model_tests", lambda kind: [])
        warnings.simplefilter("ignore")
        unittest.defaultTestLoader.loadTestsFromTestCase(module.tests(backend)).run(result)
    assert not result.errors, result.errors
    ran = {path.name for path in (Path(module.__file__).parent / "lstm").iterdir()}
    assert result.testsRun >= len(ran)
    return ran, {str(test).partition(" ")[0].removesuffix("_cpu") for test, _ in result.failures}


def inputs_of(module: Any, test: str) -> set[str]:
    import onnx  # noqa: PLC0415

    model = onnx.load(str(Path(module.__file__).parent / "lstm" / test / "model.onnx"))
    return {value.name for value in model.graph.input}


def test_onnx_s_evaluator_passes_all_but_lengths_which_it_ignores(onnx_tests: Any) -> None:
    ran, failed = failures(onnx_tests, onnx_tests.Reference)
    lengths = {test for test in ran if "sequence_lens" in inputs_of(onnx_tests, test)}
    assert len(ran - lengths) >= 2
    assert lengths
    assert failed == lengths


def test_onnx_runtime_passes_all_but_nan_which_it_hides(onnx_tests: Any) -> None:
    backend = pytest.importorskip("onnxruntime.backend", reason="onnxruntime is not installed: pip install onnxruntime")
    ran, failed = failures(onnx_tests, backend)
    with_nan = {test for test in ran if np.isnan(first_input(onnx_tests, test)).any()}
    assert failed == with_nan
    assert len(ran - failed) >= 2


def first_input(module: Any, test: str) -> Array:
    import onnx  # noqa: PLC0415

    data = Path(module.__file__).parent / "lstm" / test / "test_data_set_0/input_0.pb"
    return onnx.numpy_helper.to_array(onnx.load_tensor(str(data)))


def test_the_runner_finds_a_gate_order(onnx_tests: Any) -> None:
    class Wrong(onnx_tests.Reference):
        """An evaluator that takes ONNX's gates for nn.LSTM's."""

        @classmethod
        def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
            right = super().prepare(model, device, **kwargs)
            run = right.run

            def taken(inputs: list[Array], **kwargs: Any) -> Any:
                x, w, *rest = inputs
                return run([x, np.concatenate([part[:, k] for part in [blocks(w)] for k in (0, 2, 3, 1)], 1), *rest])

            right.run = taken
            return right

    ran, failed = failures(onnx_tests, Wrong)
    assert failed == ran


def blocks(w: Array) -> Array:
    """W (D, 4H, I) by gate, (D, 4, H, I)."""
    return w.reshape(len(w), 4, -1, w.shape[-1])


# WebNN


def test_webnn_s_tests_have_the_results_of_an_lstm_that_reads_them(made: Path) -> None:
    written = json.loads((made / "webnn/lstm.json").read_text())
    assert written["tolerance"] == {"metricType": "ATOL", "value": WEBNN_ATOL}
    layouts = set()
    for test in written["tests"]:
        graph = test["graph"]
        [operator] = graph["operators"]
        arguments = {name: value for argument in operator["arguments"] for name, value in argument.items()}
        options = arguments.pop("options")
        layouts.add(options["layout"])
        given = {
            name: tensor(graph["inputs"][operand]) for name, operand in arguments.items() if isinstance(operand, str)
        }
        given |= {
            name: tensor(graph["inputs"][options[name]]) for name in options if str(options[name]) in graph["inputs"]
        }
        config = LSTMConfig(
            *(given["input"].shape[2], arguments["hiddenSize"]),
            bias="bias" in given,
            bidirectional=options["direction"] == "both",
        )
        output, (h_n, c_n) = Twin().build(config, params_of(config, given, options["layout"]))(
            given["input"], state_of(config, given)
        )
        steps, rows, _ = given["input"].shape
        assert arguments["steps"] == steps
        sequence = output.reshape(steps, rows, config.num_directions, -1).transpose(0, 2, 1, 3)
        expected = [tensor(graph["expectedOutputs"][name]) for name in operator["outputs"]]
        for got, want in zip((h_n, c_n, sequence), expected, strict=True):
            assert got.shape == want.shape
            assert np.abs(got - want).max() < WEBNN_ATOL
    assert layouts == {"iofg", "ifgo"}


def tensor(written: dict[str, Any]) -> Array:
    descriptor = written["descriptor"]
    assert descriptor["dataType"] == "float32"
    return np.array(written["data"], "float32").reshape(descriptor["shape"])


def params_of(config: LSTMConfig, given: dict[str, Array], layout: str) -> Params:
    """nn.LSTM's parameters, written out by hand: its gates are i, f, g, o."""
    kinds = {"weight": "weight_ih", "recurrentWeight": "weight_hh", "bias": "bias_ih", "recurrentBias": "bias_hh"}
    params = {}
    for name, kind in kinds.items():
        for slot in config.slots() if name in given else ():
            parts = dict(zip(layout, np.split(given[name][slot.direction], 4), strict=True))
            params[kind + slot.suffix] = np.concatenate([parts[gate] for gate in "ifgo"])
    return params


def state_of(config: LSTMConfig, given: dict[str, Array]) -> State | None:
    names = ("initialHiddenState", "initialCellState")
    return (given[names[0]], given[names[1]]) if names[0] in given else None


# C


@dataclass(frozen=True)
class Checker:
    """The checker and the glue of the C example, compiled once; the library is compiled for each fault."""

    folder: Path

    def run(self, old: str = "", new: str = "") -> tuple[int, str]:
        """The checker's exit code and what it says of the example with one piece of its text exchanged."""
        source = (EXAMPLE / "lstm.inc").read_text()
        assert not old or source.count(old) == 1, (old, source.count(old))
        (self.folder / "lstm.inc").write_text(source.replace(old, new) if old else source)
        objects = [str(self.folder / name) for name in ("check.o", "vectors.o")]
        compile_c([str(self.folder / "lstm.c"), *objects, "-lm", "-o", str(self.folder / "check")])
        done = subprocess.run([self.folder / "check"], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout


def compile_c(words: list[str]) -> None:
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    done = subprocess.run(["cc", *flags, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.fixture(scope="module")
def checker(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Checker:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: there is no cc on the PATH")
    folder = tmp_path_factory.mktemp("c")
    for name in ("lstm.c", "lstm.h", "vectors.c"):
        shutil.copy(EXAMPLE / name, folder)
    for source in (made / "c/check.c", folder / "vectors.c"):
        compile_c(["-c", f"-I{made / 'c'}", f"-I{folder}", str(source), "-o", str(folder / f"{source.stem}.o")])
    return Checker(folder)


def test_the_c_example_is_right(checker: Checker) -> None:
    code, said = checker.run()
    assert code == 0, said
    assert said.endswith("vectors are right, 0 are not supported\n")


def test_the_lines_of_the_example_s_readme_build_the_check(made: Path, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: there is no cc on the PATH")
    shutil.copytree(made / "c", tmp_path / "vectors/c")
    shutil.copytree(EXAMPLE, tmp_path / "implementations/c_lstm", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    readme = (EXAMPLE / "README.md").read_text().partition("## Without Python")[2]
    [line] = [line for line in readme.splitlines() if line.startswith("cc ") and "check.c" in line]
    subprocess.run(line.split(), cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "check"], capture_output=True, text=True, check=True)
    assert "are right, 0 are not supported" in done.stdout


PLANTED = {
    "the gates are in the order i, o, f, g": ("NAME(sigmoid)(a[3 * H + k]);", "NAME(sigmoid)(a[H + k]);"),
    "one bias is left out": ("cell->bias_ih[k] + cell->bias_hh[k]", "cell->bias_ih[k]"),
    "the candidate is not squashed": ("const REAL g = tanh(a[2 * H + k]);", "const REAL g = a[2 * H + k];"),
    "the cell is not squashed on its way out": ("m[k] = o * tanh(c[k]);", "m[k] = o * c[k];"),
    "the forget gate is left out": ("c[k] = f * c[k] + i * g;", "c[k] = c[k] + i * g; (void)f;"),
    "the reverse direction reads forward": ("direction ? length - 1 - k : k", "k + 0 * direction"),
    "the reverse direction starts in the padding": ("direction ? length - 1 - k", "direction ? steps - 1 - k"),
    "lengths are ignored": ("lengths ? (size_t)lengths[n] : steps", "lengths ? steps : steps"),
    "σ is 1 past 13": ("return 1 / (1 + exp(-a));", "return a > 13 ? 1 : 1 / (1 + exp(-a));"),
    "the last product is dropped": ("column < columns; column++)", "column + (columns > 3) < columns; column++)"),
    "x goes through 16 bits": (
        "sum += W[column] * x[column];",
        "sum += W[column] * (REAL)((int)(x[column] * 4096) / 4096.0);",
    ),
    "the initial state is ignored": ("    if (!initial)", "    if (initial || !initial)"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_the_checker_finds_a_planted_fault(checker: Checker, fault: str) -> None:
    code, said = checker.run(*PLANTED[fault])
    assert code == 1, said
    assert "expected" in said


def test_what_is_not_supported_is_told_and_is_no_pass(checker: Checker, made: Path) -> None:
    (checker.folder / "none.c").write_text(
        '#include "lstm_vectors.h"\n'
        "int lstm_under_test(const lstm_vector *v, float *output, float *h_n, float *c_n)\n"
        "{ return v->bidirectional + (output || h_n || c_n); }\n"
    )
    words = [f"-I{made / 'c'}", str(checker.folder / "none.c"), str(checker.folder / "check.o")]
    compile_c([*words, "-o", str(checker.folder / "none")])
    done = subprocess.run([checker.folder / "none"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    count = sum(1 for line in (made / "c/lstm_vectors.h").read_text().splitlines() if line.startswith('{"'))
    assert done.stdout == f"0 of {count} vectors are right, {count} are not supported\n"


def test_the_checker_refuses_fast_math(made: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: there is no cc on the PATH")
    line = ["cc", "-std=c99", "-ffast-math", "-fsyntax-only", f"-I{made / 'c'}", str(made / "c/check.c")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "without -ffast-math" in done.stderr


def test_the_checker_is_forty_lines(made: Path) -> None:
    lines = (made / "c/check.c").read_text().partition("*/")[2].splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 45
