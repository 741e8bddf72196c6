"""The LSTMs of an ONNX file as targets: found, compared with the trained weights, judged in runtimes that are here."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from programs import Command
from safetensors.numpy import save_file

from conformance import LSTMConfig, reorder
from conformance.backend import Backend
from conformance.cases.recipe import parse as recipe
from conformance.conventions import recognise
from conformance.engine.judging import Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.facts import Outcome
from conformance.facts.weights import Likeness, Taken, WeightsCompared
from conformance.properties import catalogue
from conformance.report.weights import weights as in_words
from conformance.spec import Array
from conformance.targets import exported
from conformance.targets.find import find
from implementations.onnx_family.graph import lstm_model

onnx = pytest.importorskip("onnx")

#: In words that a file may hold: a target on the runtime that comes with the package onnx.
REFERENCE = "onnx-reference"


def _trained(*sizes: int, seed: int = 0, **options: Any) -> dict[str, Array]:
    """An nn.LSTM trained for a few steps: weights as training leaves them."""
    torch.manual_seed(seed)
    lstm = torch.nn.LSTM(*sizes, **options)
    x, optimizer = torch.randn(5, 3, sizes[0]), torch.optim.Adam(lstm.parameters(), 0.05)
    for _ in range(3):
        optimizer.zero_grad()
        lstm(x)[0].square().mean().backward()
        optimizer.step()
    return {name: value.numpy() for name, value in lstm.state_dict().items()}


def _unchanged(model: Any) -> None:
    """As it is."""


def _save(
    path: str, config: LSTMConfig, params: Mapping[str, Array], change: Callable[[Any], None] = _unchanged
) -> str:
    model = lstm_model(config, params)
    for node in model.graph.node:
        node.name = node.output[0] if node.op_type == "LSTM" else ""
    change(model)
    onnx.save(model, path)
    return path


def _weights(path: str, **modules: Mapping[str, Array]) -> str:
    save_file({f"{module}.{name}": value for module, params in modules.items() for name, value in params.items()}, path)
    return path


def _compared(file: str, weights: str) -> list[WeightsCompared]:
    return exported.expand(file, weights)[1]


def _answer(backend: Backend, id: str = "values.output", case: str = "I=3 H=4 L=3 N=2 state=both") -> Outcome | None:
    [(_, answer)] = Here(backend).ask(recipe(case), [Inquiry(catalogue()[id], 0)])
    return answer.outcome


def _rewrite(model: Any, name: str, change: Callable[[Array], Array]) -> None:
    """Change a constant of a graph."""
    [tensor] = [each for each in model.graph.initializer if each.name == name]
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor)), name))


# What is in a file


def test_each_layer_of_a_stack_is_a_target_compared_with_its_layer(folder: Path) -> None:
    params = _trained(3, 4, 2, bidirectional=True)
    file = _save("m.onnx", LSTMConfig(3, 4, num_layers=2, bidirectional=True), params)
    targets, told = exported.expand(file, _weights("t.safetensors", **{"encoder.lstm": params}))
    assert f"m.onnx:Y0@{REFERENCE}:t.safetensors" in targets
    assert f"m.onnx:Y1@{REFERENCE}:t.safetensors" in targets
    assert [each.trained for each in told] == ["encoder.lstm, layer 0", "encoder.lstm, layer 1"]
    assert {each.likeness for each in told} == {Likeness.EQUAL}
    judged = find(f"m.onnx:Y1@{REFERENCE}:t.safetensors")
    assert judged.capabilities.fixed is not None
    assert judged.capabilities.fixed[0] == LSTMConfig(8, 4, bidirectional=True)
    assert _answer(judged, case="I=8 H=4 bidirectional L=3 N=2 state=both") == Outcome.PASSED


def test_without_trained_weights_the_files_own_are_right(folder: Path) -> None:
    file = _save("m.onnx", LSTMConfig(3, 4, bias=False), _trained(3, 4, bias=False))
    targets, told = exported.expand(file)
    assert f"m.onnx:Y0@{REFERENCE}" in targets
    assert told == []
    judged = find(f"m.onnx:Y0@{REFERENCE}")
    assert _answer(judged, case="I=3 H=4 no-bias L=3 N=2 state=both") == Outcome.PASSED


def test_a_wrong_conversion_shows_in_the_weights_and_in_the_values(folder: Path) -> None:
    """The gates were never brought into ONNX's order: the runtime is right, and the model is not the trained one."""
    params = _trained(3, 4)
    raw = {"W": np.stack([params["weight_ih_l0"]]), "R": np.stack([params["weight_hh_l0"]])}
    raw["B"] = np.concatenate([params["bias_ih_l0"], params["bias_hh_l0"]])[None]

    def change(model: Any) -> None:
        for name, value in raw.items():
            _rewrite(model, f"{name}0", lambda _, value=value: value)

    file = _save("m.onnx", LSTMConfig(3, 4), params, change)
    [told] = _compared(file, _weights("t.safetensors", lstm=params))
    assert told.taken == (Taken(("weight_ih_l0", "weight_hh_l0", "bias_l0"), gates="ifgo"),)
    assert "the gates stand in the order i, f, g, o, the format has i, o, f, g" in " ".join(in_words([told]).split())
    assert _answer(find(f"m.onnx:Y0@{REFERENCE}:t.safetensors")) == Outcome.FAILED
    assert _answer(find(f"m.onnx:Y0@{REFERENCE}")) == Outcome.PASSED


def test_exchanged_layers_are_named(folder: Path) -> None:
    params = _trained(4, 4, 2)
    other = {"_l0": "_l1", "_l1": "_l0"}
    wrong = {name: params[name[:-3] + other[name[-3:]]] for name in params}
    file = _save("m.onnx", LSTMConfig(4, 4, num_layers=2), wrong)
    first, second = _compared(file, _weights("t.safetensors", lstm=params))
    assert (first.trained, [each.owner for each in first.taken]) == ("lstm, layer 0", ["lstm, layer 1"])
    assert (second.trained, [each.owner for each in second.taken]) == ("lstm, layer 1", ["lstm, layer 0"])


def test_of_two_lstms_of_one_size_each_is_compared_with_the_one_that_it_holds(folder: Path) -> None:
    one, other = _trained(3, 4), _trained(3, 4, seed=1)
    weights = _weights("t.safetensors", decoder=one, encoder=other)
    [told] = _compared(_save("m.onnx", LSTMConfig(3, 4), other), weights)
    assert (told.trained, told.likeness) == ("encoder", Likeness.EQUAL)


def test_a_layer_that_is_left_out_is_missing_and_one_that_fits_none_is_told(folder: Path) -> None:
    params = _trained(3, 4, 2)
    lower = {name: value for name, value in params.items() if name.endswith("_l0")}
    weights = _weights("t.safetensors", lstm=params)
    told = _compared(_save("m.onnx", LSTMConfig(3, 4), lower), weights)
    assert [(each.trained, each.likeness) for each in told] == [
        ("lstm, layer 0", Likeness.EQUAL),
        ("lstm, layer 1", Likeness.MISSING),
    ]
    [told, *_] = _compared(_save("n.onnx", LSTMConfig(3, 5), _trained(3, 5)), weights)
    assert told.likeness == Likeness.UNMATCHED
    assert "(3 features, 5 units)" in in_words([told])


def test_a_node_that_reads_backwards_is_judged_on_reversed_input(folder: Path) -> None:
    """A bidirectional nn.LSTM may be two nodes: each is compared with its direction."""
    params = _trained(3, 4, bidirectional=True)
    back = {name.removesuffix("_reverse"): v for name, v in params.items() if name.endswith("_reverse")}

    def change(model: Any) -> None:
        [node] = [each for each in model.graph.node if each.op_type == "LSTM"]
        [direction] = [each for each in node.attribute if each.name == "direction"]
        direction.s = b"reverse"

    file = _save("m.onnx", LSTMConfig(3, 4), back, change)
    [told, _] = _compared(file, _weights("t.safetensors", lstm=params))
    assert (told.trained, told.likeness) == ("lstm, reverse", Likeness.EQUAL)
    judged = find(f"m.onnx:Y0@{REFERENCE}:t.safetensors")
    assert "reversed" in judged.remark()
    assert _answer(judged) == Outcome.PASSED


def test_a_node_of_layout_1_is_batch_first(folder: Path) -> None:
    params = _trained(3, 4)
    _save("m.onnx", LSTMConfig(3, 4, batch_first=True), params)
    judged = find(f"m.onnx:Y0@{REFERENCE}")
    assert _answer(judged, case="I=3 H=4 batch-first L=3 N=2 state=both") == Outcome.PASSED


def test_weights_that_a_graph_computes_from_constants_are_found(folder: Path) -> None:
    """Exporters leave Concat, Unsqueeze and DequantizeLinear before a node."""
    params = _trained(3, 4)

    def change(model: Any) -> None:
        model.graph.node.insert(0, onnx.helper.make_node("Identity", ["W0"], ["W"]))
        model.graph.node[1].input[1] = "W"

    file = _save("m.onnx", LSTMConfig(3, 4), params, change)
    [told] = _compared(file, _weights("t.safetensors", lstm=params))
    assert told.likeness == Likeness.EQUAL


def test_a_constant_that_is_used_twice_is_looked_for_once(folder: Path) -> None:
    """Forty sums of a tensor with itself are forty nodes; each was visited once for every way to it, 2⁴⁰ in all."""
    params = _trained(3, 4)

    def change(model: Any) -> None:
        for k in range(40):
            given = f"M{k}" if k else "W0"
            model.graph.node.insert(k, onnx.helper.make_node("Max", [given, given], [f"M{k + 1}"]))
        model.graph.node[40].input[1] = "M40"

    file = _save("m.onnx", LSTMConfig(3, 4), params, change)
    [told] = _compared(file, _weights("t.safetensors", lstm=params))
    assert told.likeness == Likeness.EQUAL


def test_a_node_without_weights_is_told(folder: Path) -> None:
    def change(model: Any) -> None:
        del model.graph.node[0].input[2:]

    file = _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4), change)
    with pytest.raises(UsageError, match=r"m\.onnx: the node 'Y0' has no R"):
        exported.expand(file)


def test_weights_that_depend_on_an_input_are_refused(folder: Path) -> None:
    def change(model: Any) -> None:
        model.graph.node[0].input[1] = "x"

    file = _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4), change)
    with pytest.raises(UsageError, match=r"m\.onnx: the weights of an LSTM node are not constant.*'x'"):
        exported.expand(file)


def test_what_nn_lstm_does_not_have_is_noted(folder: Path) -> None:
    def change(model: Any) -> None:
        model.graph.node[0].attribute.append(onnx.helper.make_attribute("clip", 0.5))

    _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4), change)
    assert "it has clip=0.5, and nn.LSTM has not" in find(f"m.onnx:Y0@{REFERENCE}").remark()


def test_weights_rounded_to_the_files_dtype_are_told_and_judged_as_they_are(folder: Path) -> None:
    params = _trained(3, 4)
    half = {name: value.astype(np.float16) for name, value in params.items()}
    file = _save("m.onnx", LSTMConfig(3, 4, dtype="float16"), half)
    [told] = _compared(file, _weights("t.safetensors", lstm=params))
    assert (told.likeness, told.dtype) == (Likeness.ROUNDED, "float16")
    judged = find(f"m.onnx:Y0@{REFERENCE}:t.safetensors")
    assert judged.capabilities.dtypes == ("float16",)
    assert "rounded" in judged.remark()
    assert _answer(judged, case="I=3 H=4 L=3 N=2 state=both float16") == Outcome.PASSED


def test_one_lstm_in_one_runtime_has_its_weights_compared_too(folder: Path) -> None:
    """Also with ``--weights``, which would otherwise be forgotten without a word."""
    params = _trained(3, 4, 2)
    wrong = {**params, "bias_hh_l1": 0 * params["bias_hh_l1"]}
    file = _save("m.onnx", LSTMConfig(3, 4, num_layers=2), wrong)
    weights = _weights("t.safetensors", lstm=params)
    for node, likeness in (("Y0", Likeness.EQUAL), ("Y1", Likeness.DIFFERENT)):
        target = f"{file}:{node}@{REFERENCE}"
        for given in ((target, weights), (f"{target}:{weights}",)):
            targets, told = exported.expand(*given)
            assert targets == [f"{target}:{weights}"]
            assert [(each.lstm, each.likeness) for each in told] == [(node, likeness)]
    assert exported.expand(f"{file}:Y0@{REFERENCE}") == ([f"{file}:Y0@{REFERENCE}"], [])


# Files


@pytest.mark.parametrize("kind", ["npz", "pt", "onnx"])
def test_the_trained_weights_may_come_in_other_files(folder: Path, kind: str) -> None:
    params = _trained(3, 4)
    path = f"t.{kind}"
    if kind == "npz":
        np.savez(path, allow_pickle=False, **params)
    elif kind == "pt":
        torch.save({"model": {f"rnn.{name}": torch.tensor(value) for name, value in params.items()}, "epoch": 3}, path)
    else:
        _save(path, LSTMConfig(3, 4), params)
    [told] = _compared(_save("m.onnx", LSTMConfig(3, 4), params), path)
    assert told.likeness == Likeness.EQUAL
    assert told.trained == {"npz": "the LSTM", "pt": "model.rnn", "onnx": "Y0"}[kind]


class _Code:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("was-run"),))


def test_no_code_in_a_file_of_weights_is_run(folder: Path) -> None:
    file = _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4))
    torch.save({"weight_ih_l0": _Code()}, "t.pt")
    np.savez("t.npz", allow_pickle=True, weight_ih_l0=np.array([_Code()], object))
    for weights in ("t.pt", "t.npz"):
        with pytest.raises(UsageError, match=f"--weights {weights} cannot be read"):
            exported.expand(file, weights)
    assert not Path("was-run").exists()


def test_files_that_are_none_get_an_error_that_names_them(folder: Path) -> None:
    file = _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4))
    whole = Path(file).read_bytes()
    for name, content in (("cut.onnx", whole[: len(whole) // 2]), ("junk.onnx", b"\x00\xff" * 99), ("none.onnx", b"")):
        Path(name).write_bytes(content)
        with pytest.raises(UsageError, match=name):
            exported.expand(name)
    with pytest.raises(UsageError, match=r"there is no file 'gone\.onnx'"):
        exported.expand("gone.onnx")
    for name in ("t.safetensors", "t.npz", "t.pt"):
        Path(name).write_bytes(b"\x00\xff" * 99)
        with pytest.raises(UsageError, match=f"--weights {name} cannot be read"):
            exported.expand(file, name)
    with zipfile.ZipFile("z.npz", "w"):
        pass
    with pytest.raises(UsageError, match="no LSTM is in it; it has no array"):
        exported.expand(file, "z.npz")
    with pytest.raises(UsageError, match=r"--weights t\.txt: there is no such file"):
        exported.expand(file, "t.txt")


def test_tensors_that_do_not_fit_together_are_told(folder: Path) -> None:
    file = _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4))
    params = _trained(3, 4)
    save_file({**params, "bias_hh_l0": params["bias_hh_l0"][:5]}, "t.safetensors")
    with pytest.raises(UsageError, match=r"bias_hh_l0 is \(5,\), expected \(16,\)"):
        exported.expand(file, "t.safetensors")
    save_file({name: value[:12] for name, value in params.items()}, "gru.safetensors")
    with pytest.raises(UsageError, match="no LSTM is in it; it has 4 arrays, such as"):
        exported.expand(file, "gru.safetensors")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"weight_hr_l0": np.float32(1)}, "no LSTM is in it"),
        ({"weight_hh_l0": np.zeros((16, 4), int)}, "its LSTM has no weight_hh_l0 of floating point"),
        ({"weight_ih_l0": np.float32(1)}, "its LSTM is no LSTM"),
        ({"weight_ih_l999999": np.zeros((16, 4), np.float32)}, "do not fit together"),
        ({"weight_ih": np.zeros((16, 3), np.float32)}, "'weight_ih' is a second array of the name weight_ih_l0"),
    ],
)
def test_tensors_that_no_lstm_has_are_told(changed: Mapping[str, Any], told: str, folder: Path) -> None:
    file = _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4))
    arrays: dict[str, Any] = {**_trained(3, 4), **changed}
    np.savez("t.npz", **arrays)
    with pytest.raises(UsageError, match=f"--weights t.npz: .*{told}"):
        exported.expand(file, "t.npz")


def test_what_holds_its_own_values_is_not_searched_among_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer was searched for in every other one: half a minute for eight layers of 256 units, in each process."""
    params = _trained(4, 4, 4)
    file = _save("m.onnx", LSTMConfig(4, 4, num_layers=4), params)
    monkeypatch.setattr(recognise._Search, "_of", lambda *_: pytest.fail("it was searched"))
    told = _compared(file, _weights("t.safetensors", lstm=params))
    assert [each.trained for each in told] == [f"lstm, layer {k}" for k in range(4)]
    assert {each.likeness for each in told} == {Likeness.EQUAL}


def test_names_of_what_is_not_there_get_those_that_are(folder: Path) -> None:
    _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4))
    with pytest.raises(UsageError, match="it has Y0"):
        find(f"m.onnx:Y9@{REFERENCE}")
    with pytest.raises(UsageError, match=f"known are .*{REFERENCE}"):
        find("m.onnx:Y0@nothing")


def test_a_name_may_have_colons_and_slashes() -> None:
    named = exported.parse("C:/a.b/m.onnx:/encoder/lstm:0@onnxruntime:w.safetensors")
    assert named == exported.Named("C:/a.b/m.onnx", "/encoder/lstm:0", "onnxruntime", "w.safetensors")
    assert str(named) == "C:/a.b/m.onnx:/encoder/lstm:0@onnxruntime:w.safetensors"
    named = exported.parse("m.onnx:a@b@onnxruntime:w@2.safetensors")
    assert named == exported.Named("m.onnx", "a@b", "onnxruntime", "w@2.safetensors")
    assert exported.parse("mine.py:build") is None
    assert exported.parse("exec:node run.onnx") is None


# The command


def test_the_command_judges_a_file_and_a_wrong_conversion_gives_1(command: Command) -> None:
    """In a child process: the target names all that it needs."""
    params = _trained(3, 4)
    _save("right.onnx", LSTMConfig(3, 4), params)
    _save("wrong.onnx", LSTMConfig(3, 4), {**params, "bias_hh_l0": 0 * params["bias_hh_l0"]})
    _weights("t.safetensors", lstm=params)
    few = ("--weights", "t.safetensors", "--quick", "--only", "values.output", "--diagnose", "0")
    printed = command("run", "right.onnx", *few, "--json", "r.json")
    assert "Y0: lstm, equal to the last bit" in printed.out
    assert f"Y0@{REFERENCE}" in printed.out
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert report["asked"]["weights"][0]["likeness"] == "equal"
    assert report["asked"]["targets"] == [each["backend"] for each in report["backends"]]
    assert f"right.onnx:Y0@{REFERENCE}:t.safetensors" in report["asked"]["targets"]
    printed = command("run", "wrong.onnx", *few, "--json", "w.json")
    assert printed.code == 1
    assert "bias_l0: bias_hh is left out" in printed.out
    printed = command("report", "w.json", "--markdown", "w.md")
    assert printed.code == 1
    assert "bias_l0: bias_hh is left out" in printed.out
    assert "bias_l0: bias_hh is left out" in Path("w.md").read_text(encoding="utf-8")
    saved = json.loads(Path("w.json").read_text(encoding="utf-8"))
    assert saved["asked"]["weights"][0]["taken"][0]["sum"] == "bias_ih"
    assert not saved["conformant"]


def test_what_is_known_of_a_runtime_need_not_show_in_one_model(folder: Path) -> None:
    """The sizes of the model may hide it: that is no news about the runtime."""
    _save("m.onnx", LSTMConfig(3, 4), _trained(3, 4))
    judged = find(f"m.onnx:Y0@{REFERENCE}")
    known = replace(judged.capabilities, expected_failures={"values.output": "docs/findings/none.md"})
    settings = Settings(0, only=("values.output",), quick=True)
    [verdict] = conform(replace(judged, capabilities=known), settings).verdicts
    assert verdict.outcome == Outcome.PASSED
    expecting = replace(settings, expected_failures={"values.output": "the user says so"})
    [verdict] = conform(judged, expecting).verdicts
    assert verdict.outcome == Outcome.UNEXPECTED_PASS


def test_weights_without_a_models_file_are_wrong_usage(command: Command) -> None:
    printed = command("run", "numpy", "--weights", "t.safetensors")
    assert printed.code == 2
    assert "no target is a model's file" in printed.err


def test_reorder_undoes_what_the_reader_undoes() -> None:
    """The contract's ``reorder`` makes what ONNX calls W: the reader takes it back."""
    rows = np.arange(8.0)
    assert list(reorder(rows, "iofg")) == [0, 1, 6, 7, 2, 3, 4, 5]
