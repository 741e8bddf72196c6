"""A failure that is written as a file: run by itself it accuses a faulty LSTM and acquits a correct one."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from conformance.backend import Backend, Capabilities
from conformance.cases.recipe import parse
from conformance.drivers import cli, reproductions
from conformance.engine.judging import Here
from conformance.engine.reproducing import NotShown
from conformance.errors import UsageError
from conformance.faults import FAULTS
from conformance.properties import catalogue
from conformance.report.saved import changed, read
from conformance.trials.events import Placed, fresh
from conformance.trials.reproduction import Reproduction

#: A fault, a property that it fails, the case, and the kind of failure that the script shows.
SHOWN = [
    ("upper-gate-order", "values.h_n", "I=1 H=2 layers=2 L=2 N=1 seed=1", "values"),
    ("hidden-tanh-outside", "values.output", "I=2 H=2 L=3 N=2 state=both seed=1", "values"),
    ("float32-for-float64", "values.c_n", "I=1 H=1 float64 L=1 N=1 seed=1", "values"),
    ("reverse-flips-features", "values.output", "I=3 H=2 bidirectional L=3 N=2 seed=1", "values"),
    ("no-rows-give-one", "degenerate.no-rows", "I=1 H=1 L=1 N=1", "form"),
    ("nan-state-reset", "nonfinite.nan-state", "I=1 H=1 L=1 N=1 state=both", "values"),
    (
        "cell-square-overflows",
        "nonfinite.infinite-state",
        "I=1 H=1 float64 L=1 N=1 turn=1 edits=0:weight_ih_l0,0:weight_hh_l0,0:bias_ih_l0,0:bias_hh_l0,0:x",
        "values",
    ),
    ("surplus-layers-of-c-0", "refusals.state-shape", "I=1 H=1 L=1 N=1 state=both", "accepted"),
    ("refused-state-kept", "refusals.then-right", "I=1 H=1 L=1 N=1 state=both", "values"),
    ("lengths-sorted-in-place", "purity.lengths-untouched", "I=1 H=1 L=3 N=4 ragged seed=1", "changed"),
    ("c-0-updated-in-place", "purity.state-untouched", "I=1 H=1 L=2 N=1 state=both", "changed"),
    ("c-n-in-c-0", "purity.no-alias", "I=1 H=1 L=1 N=1 state=both", "shared"),
    ("output-in-a-shared-buffer", "purity.result-survives", "I=1 H=1 L=1 N=1", "changed"),
    ("running-mean", "purity.repeat", "I=1 H=1 L=1 N=1", "values"),
    ("kept-by-x-alone", "purity.reused-input", "I=1 H=1 L=1 N=1 state=both turn=1", "values"),
    ("reads-from-base", "purity.negative-stride", "I=1 H=1 L=2 N=1", "values"),
    ("gradient-gates-swapped", "gradients.biases", "I=1 H=1 layers=2 L=1 N=1", "values"),
    ("gradient-of-h-0-none", "gradients.state", "I=1 H=2 L=2 N=1 state=both seed=1", "values"),
    ("gradient-accumulates", "gradients.repeat", "I=1 H=1 L=1 N=1", "values"),
    ("gradient-of-no-rows", "gradients.no-rows", "I=1 H=1 L=1 N=1", "values"),
]


def _faulty(name: str) -> Here:
    fault = FAULTS[name]
    return Here(Backend(f"theirs.py:{name.replace('-', '_')}", fault.capabilities, fault.build))


def _made(name: str, property: str, text: str) -> Reproduction:
    return reproductions.made(_faulty(name), [parse(text)], catalogue()[property])


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a maintainer's module, of faulty LSTMs or of a correct one, in which scripts are run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("theirs", None)


def _run(path: Path, module: str) -> int:
    sys.modules.pop("theirs", None)
    # It remembers the folder of the test before.
    sys.path_importer_cache.pop(".", None)
    Path("theirs.py").write_text(module, encoding="utf-8")
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.dont_write_bytecode = before
    return int(ended.value.code or 0)


FAULTY = "from conformance.faults import FAULTS\n{name} = FAULTS[{id!r}].build\n"
CORRECT = "from implementations.torch_nn import torch_nn as {name}\n"


@pytest.mark.parametrize(("name", "property", "text", "kind"), SHOWN, ids=[row[0] for row in SHOWN])
def test_a_script_accuses_the_faulty_and_acquits_the_correct(
    name: str, property: str, text: str, kind: str, theirs: Path
) -> None:
    """It is a failure's whole proof: by itself it must tell who is wrong, and not accuse an LSTM that is right."""
    told = _made(name, property, text)
    assert told.kind == kind
    path, attribute = theirs / "failure.py", name.replace("-", "_")
    reproductions.write(told, path)
    assert _run(path, FAULTY.format(name=attribute, id=name)) == 1
    assert _run(path, CORRECT.format(name=attribute)) == 0
    assert "import conformance" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", [".py", ".safetensors"])
@pytest.mark.parametrize("row", [SHOWN[3], SHOWN[5], SHOWN[13], SHOWN[15], SHOWN[17]], ids=lambda row: row[0])
def test_a_file_is_read_back_as_it_was_written(row: tuple[str, str, str, str], suffix: str, theirs: Path) -> None:
    """Both forms hold the same calls, in the same memory order, and are judged as before."""
    told = _made(*row[:3])
    path = theirs / f"failure{suffix}"
    reproductions.write(told, path)
    again = read(path)
    assert not changed(again)
    assert (again.property, again.recipes, again.target) == (told.property, told.recipes, told.target)
    for one, other in zip(again.events, told.events, strict=True):
        assert list(one.arrays) == list(other.arrays)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one.arrays.values(), other.arrays.values(), strict=True))
        assert {k: vars(v) for k, v in one.placed.items() if v.strides != other.arrays[k].strides} == {
            k: vars(v) for k, v in other.placed.items() if v.strides != other.arrays[k].strides
        }
    assert list(again.wanted) == list(told.wanted)
    assert reproductions.judge(_faulty(row[0]), again, path.name) == 1


def test_other_readers_load_the_safetensors_file(theirs: Path) -> None:
    """The file is no dialect of the format."""
    told = _made(*SHOWN[1][:3])
    reproductions.write(told, theirs / "failure.safetensors")
    found = load_file(theirs / "failure.safetensors")
    np.testing.assert_array_equal(found["expected.output"], told.wanted["output"].expected)
    np.testing.assert_array_equal(found["2.x"], told.last.arrays["x"])


def test_arrays_that_were_edited_count(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person narrows a failure down by hand: the numbers in the file are judged, not those of the case."""
    told = _made("float32-for-float64", "values.c_n", "I=1 H=1 float64 L=1 N=1 seed=1 fill=zero-weights state=both")
    path = theirs / "failure.py"
    reproductions.write(told, path)
    text = path.read_text(encoding="utf-8")
    start = text.index("c_0 = np.array(")
    end = text.index("\n", start)
    path.write_text(text[:start] + 'c_0 = np.array([[[0.0]]], "float64")' + text[end:], encoding="utf-8")
    again = read(path)
    assert changed(again)
    assert reproductions.judge(_faulty("float32-for-float64"), again, "failure.py") == 0
    assert "not those that were written" in capsys.readouterr().out


def test_a_large_array_is_packed_and_read_back(theirs: Path) -> None:
    """The numbers of a large case would fill pages."""
    told = _made("hidden-tanh-outside", "values.output", "I=20 H=40 L=2 N=1 seed=1")
    path = theirs / "failure.py"
    reproductions.write(told, path)
    text = path.read_text(encoding="utf-8")
    assert 'weight_hh_l0 = unpacked("float32", (160, 40),' in text
    assert max(map(len, text.splitlines()[30:])) <= 125
    assert not changed(read(path))


@pytest.mark.parametrize(
    ("name", "property", "text", "why"),
    [
        ("gradient-dropout-unscaled", "dropout.gradients", "I=1 H=1 layers=2 L=1 N=1", "random"),
        ("hidden-tanh-outside", "values.output", "I=1 H=1 L=1 N=1 fill=zero-weights", "holds for this case"),
    ],
)
def test_a_failure_that_no_script_can_show_says_why(name: str, property: str, text: str, why: str) -> None:
    """Nothing is written that would not show the failure."""
    with pytest.raises(NotShown, match=why):
        _made(name, property, text)


def test_a_call_that_raises_is_shown(theirs: Path) -> None:
    """An exception has no numbers: the script makes the call, and shows the traceback."""

    def build(config: object, params: object) -> object:
        def forward(x: np.ndarray, state: object = None) -> object:
            raise RuntimeError("no kernel for this")

        return forward

    judge = Here(Backend("theirs.py:mine", Capabilities(), build))  # type: ignore[arg-type]
    told = reproductions.made(judge, [parse("I=1 H=1 L=1 N=1")], catalogue()["values.output"])
    assert (told.kind, told.told) == ("raised", "it raises RuntimeError: no kernel for this")
    reproductions.write(told, theirs / "failure.py")
    raising = (
        "def mine(config, weights):\n    def forward(x, state=None):\n        raise RuntimeError\n    return forward\n"
    )
    assert _run(theirs / "failure.py", raising) == 1
    assert _run(theirs / "failure.py", CORRECT.format(name="mine")) == 0


@pytest.mark.parametrize("view", ["transposed", "strided", "gapped", "offset", "negative", "fortran", "readonly"])
def test_arrays_lie_in_memory_as_they_did(view: str) -> None:
    """A kernel that assumes C order fails only with such arrays."""
    from conformance.cases.case import arrange  # noqa: PLC0415
    from conformance.trials.events import _placed  # noqa: PLC0415

    value = arrange(np.arange(24, dtype=np.float32).reshape(2, 3, 4), view)
    how = _placed(value)
    again = fresh(np.array(value, order="C"), how)
    assert isinstance(how, Placed)
    assert again.strides == value.strides
    np.testing.assert_array_equal(again, value)
    assert again.flags.writeable == value.flags.writeable
    assert (again.ctypes.data - value.ctypes.data) % 16 == 0


def test_a_file_of_another_kind_is_left_as_it_is(theirs: Path) -> None:
    """A slip of the name must not cost a person's own module."""
    own = theirs / "lstm.py"
    own.write_text("def build(config, params): ...\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no reproduction"):
        reproductions.write(_made(*SHOWN[1][:3]), own)
    assert own.read_text(encoding="utf-8").startswith("def build")
    with pytest.raises(UsageError, match=r"must end in \.py or \.safetensors"):
        reproductions.check(theirs / "failure.txt")


def test_the_command_line_writes_and_replays(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a run to a folder of scripts, and back; all in this process."""
    Path("theirs.py").write_text(
        "from conformance import Capabilities, backend\nfrom conformance.faults import FAULTS\n"
        "mine = backend('mine-of-a-test', Capabilities())(FAULTS['hidden-tanh-outside'].build)\n",
        encoding="utf-8",
    )
    run = ["run", "theirs.py:mine", "--in-process", "--quick", "--only", "values.h_n", "--write", "found"]
    assert cli.main(run) == 1
    written = theirs / "found" / "values.h_n.theirs-mine.py"
    assert "1 script in found" in capsys.readouterr().out
    assert cli.main(["replay", str(written), "--in-process", "--write", "failure.safetensors"]) == 1
    assert cli.main(["replay", "failure.safetensors", "--in-process"]) == 1
    assert "the call in failure.safetensors, for values.h_n" in capsys.readouterr().out
    assert cli.main(["replay", "failure.safetensors", "--in-process", "--backend", "numpy"]) == 0


def test_the_page_quotes_what_is_printed(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of docs/reproductions.md print what is quoted below them."""
    Path("my_lstm.py").write_text(
        "import torch\n\n\nclass MyLSTM(torch.nn.LSTM):\n    def forward(self, x, hx=None):\n"
        "        output, (h, c) = super().forward(x, hx)\n        return output, (c[..., : h.shape[-1]], c)\n",
        encoding="utf-8",
    )
    page = (Path(__file__).parents[1] / "docs/reproductions.md").read_text(encoding="utf-8")
    sys.path_importer_cache.pop(".", None)
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for told in block.removeprefix("$ ").split("\n$ "):
            line, *quoted = told.splitlines()
            program, *words = shlex.split(line)
            if program == "python":
                with pytest.raises(SystemExit):
                    runpy.run_path(words[0], run_name="__main__")
            else:
                assert cli.main([*words, "--in-process"]) == 1
            printed = capsys.readouterr().out.splitlines()
            assert [text for text in quoted if text != "…" and text not in printed] == []
    sys.modules.pop("my_lstm", None)
