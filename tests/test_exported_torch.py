"""The LSTMs of TorchScript files and of exported programs as targets: the same that were trained, run as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from conformance.cases.recipe import parse
from conformance.engine.judging import Here, Inquiry
from conformance.errors import UsageError
from conformance.facts import Outcome
from conformance.facts.weights import Likeness
from conformance.properties import catalogue
from conformance.targets import exported
from conformance.targets.find import find

X = torch.linspace(-1, 1, 30).reshape(2, 5, 3)


class Model(torch.nn.Module):
    """A classifier of which the LSTM is a part, trained for a few steps."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.LSTM(3, 4, batch_first=True, **options)
        self.head = torch.nn.Linear(8 if self.encoder.bidirectional else 4, 2)
        optimizer = torch.optim.Adam(self.parameters(), 0.05)
        for _ in range(3):
            optimizer.zero_grad()
            self(X).square().mean().backward()
            optimizer.step()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of each step."""
        return self.head(self.encoder(x)[0])


def _script(model: Model) -> str:
    torch.jit.script(model).save("m.pt")
    return "m.pt"


def _trace(model: Model) -> str:
    torch.jit.save(torch.jit.trace(model, (X,)), "m.pt")
    return "m.pt"


def _freeze(model: Model) -> str:
    torch.jit.save(torch.jit.freeze(torch.jit.script(model)), "m.pt")
    return "m.pt"


def _program(model: Model) -> str:
    torch.export.save(torch.export.export(model, (X,)), "m.pt2")
    return "m.pt2"


def _onnx(model: Model) -> str:
    torch.onnx.export(model, (X,), "m.onnx", dynamo=False, dynamic_axes={"x": {0: "N", 1: "L"}}, input_names=["x"])
    return "m.onnx"


#: Each with the model that is exported so, and the names of its LSTMs in the file.
ROUTES: dict[str, tuple[Callable[[Model], str], dict[str, Any], list[str]]] = {
    "script": (_script, {"num_layers": 2, "bidirectional": True}, ["encoder"]),
    "trace": (_trace, {"bidirectional": True}, ["encoder"]),
    "freeze": (_freeze, {"num_layers": 2, "bias": False}, ["lstm_0"]),
    "program": (_program, {"num_layers": 2}, ["encoder"]),
    "onnx": (_onnx, {"num_layers": 2, "bidirectional": True}, ["/encoder/LSTM", "/encoder/LSTM_1"]),
}

# torch warns of what it will leave out one day, and of what it traces.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("route", ROUTES)
def test_a_trained_lstm_is_found_in_what_torch_writes_and_judged(folder: Path, route: str) -> None:
    write, options, names = ROUTES[route]
    if route == "onnx":
        pytest.importorskip("onnx")
    model = Model(**options).eval()
    save_file(model.state_dict(), "t.safetensors")
    targets, told = exported.expand(write(model), "t.safetensors")
    assert [each.lstm for each in told] == names
    assert {(each.trained.partition(",")[0], each.likeness) for each in told} == {("encoder", Likeness.EQUAL)}
    for target in targets:
        backend = find(target)
        assert backend.capabilities.fixed is not None
        config = backend.capabilities.fixed[0]
        words = [f"I={config.input_size} H=4 layers={config.num_layers}", "bidirectional" * config.bidirectional]
        words += ["batch-first" * config.batch_first, "no-bias" * (not config.bias)]
        for text in ("L=3 N=2 state=both", "L=1 N=1 state=none"):
            case = parse(" ".join([*words, text]))
            for id in ("smoke.runs", "values.output", "values.c_n"):
                [(_, answer)] = Here(backend).ask(case, [Inquiry(catalogue()[id], 0)])
                assert answer.outcome == Outcome.PASSED, answer.fact


def test_other_weights_than_the_trained_ones_show_in_the_values(folder: Path) -> None:
    """The file is of an earlier epoch: nothing of it is recognised, and the LSTM computes something else."""
    model = Model().eval()
    file = _program(model)
    torch.manual_seed(1)
    save_file(torch.nn.LSTM(3, 4).state_dict(), "t.safetensors")
    [target], [told] = exported.expand(file, "t.safetensors")
    assert told.unrelated == ("weight_ih_l0", "weight_hh_l0", "bias_l0")
    [(_, answer)] = Here(find(target)).ask(
        parse("I=3 H=4 batch-first L=3 N=2"), [Inquiry(catalogue()["values.output"], 0)]
    )
    assert answer.outcome == Outcome.FAILED


def test_a_projection_is_read(folder: Path) -> None:
    torch.jit.script(torch.nn.Sequential(torch.nn.LSTM(3, 4, 2, bias=False, proj_size=2))).save("p.pt")
    [one] = exported.read("p.pt")
    assert one.config.proj_size == 2
    assert one.params["weight_hr_l1"].shape == (2, 4)


def _save_state(model: Model) -> None:
    torch.save(model.state_dict(), "m.pt")


def _save_linear(model: Model) -> None:
    torch.jit.script(model.head).save("m.pt")


def _save_decomposed(model: Model) -> None:
    torch.export.save(torch.export.export(model, (X,)).run_decompositions(), "m.pt2")


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (_save_state, "it is no TorchScript file"),
        (_save_linear, "no call of aten::lstm is in its graph"),
        (_save_decomposed, "no call of aten.lstm is in its graph"),
    ],
)
def test_a_file_without_an_lstm_says_what_to_do(folder: Path, save: Callable[[Model], None], told: str) -> None:
    save(Model().eval())
    with pytest.raises(UsageError, match=told) as error:
        exported.read(next(Path().glob("m.pt*")).name)
    assert error.value.hint


def test_a_cut_file_is_told(folder: Path) -> None:
    for route in (_script, _program):
        file = Path(route(Model().eval()))
        file.write_bytes(file.read_bytes()[:400])
        with pytest.raises(UsageError, match=file.name):
            exported.read(str(file))
