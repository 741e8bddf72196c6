"""Vectors: their bounds hold from end to end, what they kill is true, a set is the same each time and checked."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from programs import Command
from vector_sets import FAULTS as CHOSEN
from vector_sets import few_candidates

from conformance.bounds.rounding import Approx, arithmetic
from conformance.cases.case import realise
from conformance.cases.recipe import parse
from conformance.errors import SuiteError, UsageError
from conformance.faults import DIFFERENT, FAULTS
from conformance.faults.twin import Twin
from conformance.reference.forward import lstm
from conformance.selftest.peer import result_of
from conformance.spec import Array, LSTMConfig, Result
from conformance.vectors import candidates, sized, trying
from conformance.vectors.cover import cover
from conformance.vectors.formats.plain import numbers
from conformance.vectors.forms import ELEMENTWISE, FORMS, ONNX, WEBNN
from conformance.vectors.search import Asked, search
from conformance.vectors.trying import ratio, try_one
from conformance.vectors.vector import Vector, errors, rounded
from conformance.vectors.writing import check, write_vectors

pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'lstm-conformance[vectors]'")
FORMATS = ("json", "npz", "safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set."""
    path = tmp_path_factory.mktemp("vectors") / "set"
    with few_candidates():
        write_vectors(path, Asked(), FORMATS, faults=CHOSEN)
    return path


def vector_of(text: str) -> Vector:
    return Vector(text, realise(parse(text)))


# The bound


def test_no_correct_lstm_exceeds_a_bound() -> None:
    small = [v for v in (*candidates.usual("float32", 0), *sized.sized("float32", 0)) if v.size < 4000][::12]
    for vector in (*small, *candidates.special("float32", 0)):
        for different in DIFFERENT[::6]:
            got = result_of(different.twin.build, vector.case)
            assert got is not None
            found = errors(vector, got)
            assert found is not None
            assert ratio(found, vector.expectations.bound) <= 1, (vector.text, different.id)


def test_expected_numbers_are_the_oracle_s_rounded_and_the_bound_covers_the_rounding() -> None:
    vector = vector_of("I=3 H=4 layers=2 bidirectional batch-first L=5 N=3 state=both ragged seed=3")
    case, given = vector.case, vector.inputs
    output, (h_n, c_n) = lstm(case.config, case.params, given["x"], (given["h_0"], given["c_0"]), given["lengths"])
    for exact, want, bound in zip((output, h_n, c_n), *vector.expectations, strict=True):
        assert np.array_equal(exact.astype("float32"), want)
        assert np.all(np.abs(exact - np.asarray(want, np.float64)) <= bound)
        assert np.all(bound[want != 0] > 0)
        # Small enough to be of use.
        assert bound.max() < 3e-5


def test_padding_has_no_room_at_all() -> None:
    vector = vector_of("I=2 H=3 L=4 N=3 ragged seed=5")
    want, bound = vector.expectations
    padding = np.arange(4)[:, None] >= vector.inputs["lengths"]
    assert padding.any()
    assert not want.output[padding].any()
    assert not bound.output[padding].any()


def bounded(exact: Array, dtype: str) -> Array:
    """The bounds of zeros that may be off by so much."""
    declared = arithmetic("float32", {})
    assert declared is not None
    return rounded(Approx(np.zeros(exact.shape), exact, declared), dtype)[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_bound_is_a_short_number_that_is_no_smaller(dtype: str) -> None:
    exact = np.exp(np.random.default_rng(0).uniform(-40, 5, 4000))
    bound = bounded(exact, dtype)
    assert np.all(bound >= exact)
    assert np.all(bound < 1.011 * exact)
    digits = (text.partition("e")[0].replace(".", "").strip("0") for text in numbers(bound))
    assert max(map(len, digits)) <= 3


def test_no_bound_is_lost_at_the_ends_of_the_range() -> None:
    exact = np.array([0.0, 1e-45, 5e-324, 3e38, np.inf])
    bound = bounded(exact, "float32")
    assert np.all(bound >= exact)
    assert bound[0] == 0


def test_more_than_the_bound_is_an_error_of_more_than_one() -> None:
    vector = vector_of("I=2 H=3 L=2 N=2 seed=5")
    want, bound = vector.expectations
    off = want.c_n.astype(np.float64) + 1.5 * bound.c_n
    found = errors(vector, Result(want.output, want.h_n, off.astype("float32")))
    assert found is not None
    assert 1.3 < ratio(found, bound) < 1.7
    assert errors(vector, Result(want.output, want.h_n, want.c_n.astype("float64"))) is None
    assert errors(vector, Result(want.output, want.h_n, want.c_n[0])) is None
    assert errors(vector, Result(want.output, want.h_n, None)) is None


def test_what_is_not_finite_must_come_as_it_is() -> None:
    by_text = {vector.text: vector for vector in candidates.special("float32", 0)}
    vector = by_text["an infinity in c_0"]
    want, bound = vector.expectations
    assert np.isinf(want.c_n).any()
    assert not bound.c_n[np.isinf(want.c_n)].any()
    largest = np.where(np.isinf(want.c_n), np.finfo("float32").max, want.c_n)
    found = errors(vector, Result(want.output, want.h_n, largest))
    assert found is not None
    assert ratio(found, bound) == np.inf
    vector = by_text["a NaN in x, one direction"]
    want, bound = vector.expectations
    assert np.isnan(want.output).any()
    assert np.isfinite(want.output).any()
    found = errors(vector, Result(np.nan_to_num(want.output), want.h_n, want.c_n))
    assert found is not None
    assert ratio(found, bound) == np.inf


def test_a_tolerance_of_a_form_contains_every_bound() -> None:
    vectors = [*candidates.usual("float32", 0), *candidates.special("float32", 0)]
    for form in (ONNX, WEBNN):
        within = [v for v in vectors if form.expresses(v) and form.tolerances(v) is not None]
        assert len(within) > 30
        for vector in within:
            tolerances = form.tolerances(vector)
            assert tolerances is not None
            for bound, tolerance in zip(vector.expectations.bound, tolerances, strict=True):
                assert np.all(bound <= tolerance)


# Kills


def test_a_vector_kills_what_is_wrong_and_nothing_that_needs_more_calls() -> None:
    shown: dict[str, set[str]] = {form.name: set() for form in FORMS}
    vector = vector_of("I=3 H=5 L=4 N=2 state=both seed=1")
    killed = try_one(vector, [FAULTS[id] for id in CHOSEN], shown)
    assert {"gate-order-iofg", "h-0-ignored", "tf32"} <= killed[ELEMENTWISE.name]
    assert not {"state-leaks", "lengths-ignored", "steps-48", "nan-hidden"} & killed[ELEMENTWISE.name]


def test_what_the_suite_alone_sees_is_shown_and_not_killed() -> None:
    # h_n one ulp away from the last output: within every bound, and wrong bit by bit.
    shown: dict[str, set[str]] = {form.name: set() for form in FORMS}
    killed = try_one(vector_of("I=3 H=5 L=4 N=2 seed=1"), [FAULTS["h-n-ulp-off"]], shown)
    assert not killed[ELEMENTWISE.name]
    assert shown[ELEMENTWISE.name] == {"h-n-ulp-off"}


def test_gradient_faults_are_not_asked_and_undeclared_options_neither() -> None:
    asked = {fault.id for fault in trying.faults_of("float32")}
    assert "gate-order-iofg" in asked
    assert "gradient-gate-order" not in asked
    assert not any("float32" not in FAULTS[id].capabilities.dtypes for id in asked)


def test_the_cover_takes_what_adds_most_and_drops_what_adds_nothing() -> None:
    kills = [frozenset("abc"), frozenset("cd"), frozenset("abd"), frozenset("e"), frozenset()]
    assert cover(kills, [10, 10, 10, 10, 10], 9, 1000) == [0, 1, 3]
    # Nearly as good, and smaller.
    many = [frozenset(map(str, range(20))), frozenset(map(str, range(19)))]
    assert cover(many, [100, 10], 9, 1000)[0] == 0
    assert cover(many, [100, 10], 9, 50) == [1]
    assert cover(kills, [10, 10, 10, 10, 10], 2, 1000) == [0, 1]
    assert cover(kills, [10, 10, 10, 10, 10], 9, 15) == [0]
    assert cover(kills, [10, 10, 10, 10, 10], 9, 5) == []


def test_a_correct_lstm_that_exceeds_a_bound_is_a_defect_of_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(DIFFERENT[0], twin=Twin(tanh=lambda a: np.tanh(a) * a.dtype.type(1.001)))
    monkeypatch.setattr("conformance.vectors.search.DIFFERENT", (wrong,))
    with few_candidates(), pytest.raises(SuiteError, match="is correct, and is"):
        search(Asked(), [ELEMENTWISE], faults=("gate-order-iofg",))


# Files


def test_numbers_are_read_back_as_they_were() -> None:
    raw = np.random.default_rng(0).integers(0, 2**32, 4000, np.uint32)
    for values in (raw.view("float32"), raw.view("float64"), np.array([0.1, -0.0, 1e-45, 3.4e38], "float32")):
        for value, text in zip(values, numbers(values), strict=True):
            back = values.dtype.type(float(json.loads(text)))
            assert np.isnan(value) == np.isnan(back)
            assert np.isnan(value) or back.tobytes() == value.tobytes()


def test_all_plain_formats_have_the_same_arrays(made: Path) -> None:
    from safetensors import safe_open  # noqa: PLC0415

    names = sorted(path.stem for path in (made / "json").iterdir())
    assert names == sorted(json.loads((made / "kills.json").read_text())["forms"]["by element"]["vectors"])
    for name in names:
        plain = json.loads((made / "json" / f"{name}.json").read_text())
        listed = {
            part + ("_bound" if kind == "bound" else ""): tensor
            for kind in ("params", "inputs", "expected", "bound")
            for part, tensor in plain[kind].items()
        }
        with (
            np.load(made / "npz" / f"{name}.npz") as npz,
            safe_open(made / "safetensors" / f"{name}.safetensors", "numpy") as tensors,
        ):
            assert set(npz.files) - {"about"} == set(listed) == set(tensors.keys())
            said = json.loads(str(npz["about"]))
            assert said == json.loads(tensors.metadata()["about"]) == {key: plain[key] for key in said}
            for key, tensor in listed.items():
                wanted = npz[key]
                numbers_ = [float(value) for value in tensor["data"]]
                assert np.array_equal(np.array(numbers_, wanted.dtype).reshape(tensor["shape"]), wanted, equal_nan=True)
                assert np.array_equal(tensors.get_tensor(key), wanted, equal_nan=True)


def test_the_kill_matrix_is_true_of_the_files(made: Path) -> None:
    matrix = json.loads((made / "kills.json").read_text())["forms"]["by element"]
    fault = FAULTS["reverse-not-flipped-back"]
    kills = []
    for name in matrix["vectors"]:
        with np.load(made / "npz" / f"{name}.npz") as npz:
            arrays = dict(npz)
        about = json.loads(str(arrays["about"]))
        config = LSTMConfig(**about["config"])
        params = {key: value for key, value in arrays.items() if key.startswith(("weight", "bias"))}
        state = (arrays["h_0"], arrays["c_0"]) if "h_0" in arrays else None
        lengths = {"lengths": arrays["lengths"]} if "lengths" in arrays else {}
        output, (h_n, c_n) = fault.build(config, params)(arrays["x"], state, **lengths)
        got = {"output": output, "h_n": h_n, "c_n": c_n}
        off = {part: np.abs(value.astype(float) - arrays[part]) for part, value in got.items()}
        with np.errstate(invalid="ignore"):
            wrong = any((off[part] > 1.2 * arrays[f"{part}_bound"]).any() for part in off)
        kills += [name] if wrong else []
    assert kills
    assert kills == [name for name, killed in matrix["vectors"].items() if fault.id in killed]
    assert matrix["not killed"] == []


def test_a_set_is_the_same_each_time_and_its_checksums_hold(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    with few_candidates():
        write_vectors(again, Asked(), FORMATS, faults=CHOSEN)
    sums = (made / "SHA256SUMS").read_text()
    assert sums == (again / "SHA256SUMS").read_text()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in sums.splitlines())}
    there = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert set(listed) == there - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((made / name).read_bytes()).hexdigest() == digest


def test_the_readme_says_what_the_set_is_worth(made: Path) -> None:
    text = (made / "README.md").read_text()
    # The numbers are those of the matrix.
    found = json.loads((made / "kills.json").read_text())["forms"]["by element"]
    killed = set().union(*map(set, found["vectors"].values()))
    assert f"| {len(found['vectors'])} | " in text
    assert f"| {len(killed)} of {len(killed) + len(found['not killed'])} | 1 of 24 |" in text
    assert "CC0-1.0" in text
    assert "CC0-1.0" in (made / "LICENSE.txt").read_text()
    assert "gate-order-iofg" in text


def test_without_onnx_the_readme_says_that_its_vectors_were_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx.backend.test.case.node.lstm", None)
    with few_candidates():
        write_vectors(tmp_path / "set", Asked(), ("npz",), faults=CHOSEN[:2])
    text = (tmp_path / "set/README.md").read_text()
    assert "ONNX's own vectors were not tried: the peers need onnx" in text
    assert "| WebNN tests | 12 |" in text


def test_left_out_options_are_in_no_vector(tmp_path: Path) -> None:
    without = ("projection", "lengths", "nonfinite", "unbatched", "batch_first", "layers")
    with few_candidates():
        sets = write_vectors(tmp_path / "set", Asked(without=without), ("json",), faults=CHOSEN)
    for one in sets["by element"].chosen:
        config = one.vector.case.config
        assert (config.num_layers, config.proj_size, config.batch_first) == (1, 0, False)
        assert one.vector.finite
        assert "lengths" not in one.vector.inputs


def test_float64_has_bounds_of_its_own(tmp_path: Path) -> None:
    with few_candidates():
        sets = write_vectors(
            tmp_path / "set", Asked(dtype="float64"), ("npz",), faults=(*CHOSEN, "float32-for-float64")
        )
    assert "float32-for-float64" in sets["by element"].killed
    assert max(one.vector.largest_bound for one in sets["by element"].chosen) < 1e-9


# The command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--format jsn", "no format is named 'jsn'\n  hint: there are json, npz, c, webnn, safetensors, onnx"),
        (
            "--without projektion",
            "no option is named 'projektion'\n  hint: there are layers, bidirectional, no_bias, batch_first",
        ),
        ("--dtype float16", "no dtype is named 'float16'\n  hint: there are float32, float64"),
        ("--dtype float64 --format webnn", "the format webnn has no float64"),
        ("--count 0", "--count must be at least 1, got 0"),
        ("--bytes -5", "--bytes must be at least 1, got -5"),
        ("--count many", "invalid int value: 'many'"),
    ],
)
def test_bad_options_are_named_before_any_work(command: Command, tmp_path: Path, words: str, message: str) -> None:
    printed = command("vectors", str(tmp_path / "set"), *words.split())
    assert printed.code == 2
    assert message in printed.err
    assert not (tmp_path / "set").exists()


def test_a_folder_that_has_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        check(tmp_path, Asked(), ("json",))
    with pytest.raises(UsageError, match="there is no folder"):
        check(tmp_path / "no" / "such", Asked(), ("json",))
    with few_candidates(), pytest.raises(UsageError, match="no vector of at most 10 bytes"):
        write_vectors(tmp_path / "set", Asked(size=10), ("json",), faults=CHOSEN)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(("format", "package"), [("onnx", "onnx"), ("safetensors", "safetensors.numpy")])
def test_a_package_that_is_missing_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"the format {format} needs {format}.*\n.*lstm-conformance\[vectors\]"):
        check(tmp_path / "set", Asked(), (format,))


def test_the_command_says_what_was_written(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "FAULTS", {id: FAULTS[id] for id in CHOSEN})
    with few_candidates():
        # The empty folder in which it runs.
        code, out, _ = command("vectors", ".", "--format", "json", "--without", "nonfinite")
    assert code == 0
    assert "by element: " in out
    assert "WebNN" not in out
    assert {path.name for path in tmp_path.iterdir()} == {
        *("json", "kills.json", "LICENSE.txt", "README.md", "SHA256SUMS")
    }
