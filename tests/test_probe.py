"""Targets that declare nothing: what the probe finds, and that it does not hide what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from backends import around
from programs import SAMPLES
from torch import nn

from conformance import Backend, Capabilities, LSTMConfig, cell_backend, check_backend
from conformance.cases.recipe import OPTIONS
from conformance.facts import Said
from conformance.report.unjudged import unjudged
from conformance.spec import DTYPES
from conformance.targets.find import find
from conformance.targets.probe import abilities, probed


def _smoke(backend: Backend) -> tuple[str, str]:
    (verdict,) = check_backend(backend, cases=0, properties=["smoke"]).verdicts
    return verdict.outcome, verdict.message


def test_a_bare_function_gets_what_works_and_the_report_says_that_it_was_probed() -> None:
    found = find(f"{SAMPLES}:bare")
    assert found.capabilities == Capabilities(dtypes=("float32", "float64", "float16"))
    assert found.remark().startswith(
        "capabilities were probed: initial_state, batch, time_major, float32, float64, float16; without layers, "
    )


def test_a_function_that_returns_h_n_alone_is_probed_for_that() -> None:
    assert find(f"{SAMPLES}:h_n_alone").capabilities.returns == ("h_n",)


def test_an_option_that_runs_but_is_wrong_is_declared_so_that_it_is_judged() -> None:
    def both_halves_forward(forward: Any, config: LSTMConfig, x: Any, state: Any = None) -> Any:
        output, finals = forward(x, state)
        if config.bidirectional:
            output = np.concatenate([output[..., : config.output_size]] * 2, axis=-1)
        return output, finals

    found = probed("wrong", around(both_halves_forward).build)
    assert found.capabilities.bidirectional
    assert {a.option: (a.runs, a.right) for a in abilities(found)}["bidirectional"] == (True, False)


class LSTM(nn.LSTM):
    """A drop-in for nn.LSTM."""


class CutOff(nn.LSTM):
    """A drop-in whose c_n has no gradient."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, (h_n, c_n) = super().forward(input, hx)
        return output, (h_n, c_n.detach())


class Plain(nn.LSTM):
    """A drop-in without options."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)


class Wrapper(nn.Module):
    """Not a drop-in: its parameters have other names."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.lstm(x, state)


class OutputOnly(nn.LSTM):
    """Not a drop-in: returns a lone tensor."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx)[0]


class Recurrent(nn.LSTM):
    """A drop-in that drops within its recurrence, as Keras' ``recurrent_dropout`` does."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(input_size, hidden_size, num_layers)
        self.rate = dropout

    def forward(self, input: Any, hx: Any = None) -> Any:
        outputs, finals = [], hx
        for x_t in input.split(1):
            output, finals = super().forward(x_t, hx)
            outputs.append(output)
            hx = nn.functional.dropout(finals[0], self.rate, self.training), finals[1]
        return torch.cat(outputs), finals


class Silent(nn.LSTM):
    """A drop-in that takes dropout and drops nothing."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(input_size, hidden_size, num_layers)


def test_dropout_is_probed_so_that_a_module_which_drops_elsewhere_is_judged() -> None:
    found = {cls: {a.option: (a.runs, a.right) for a in abilities(find(cls))}["dropout"] for cls in (LSTM, Recurrent)}
    assert found == {LSTM: (True, True), Recurrent: (True, False)}
    report = check_backend(Recurrent, cases=0, only="dropout", shrink=False, diagnose=0)
    verdicts = {v.property: v.outcome for v in report.verdicts}
    assert verdicts["dropout.first-layer"] == "failed"
    assert verdicts["dropout.evaluation"] == "passed"


def test_what_a_probe_did_not_take_for_declared_is_named_as_not_judged() -> None:
    silent = find(Silent)
    assert not silent.capabilities.dropout
    [backend] = check_backend(silent, cases=0, properties=["dropout", "lengths", "purity.load"]).backends
    told = unjudged(backend)
    assert "dropout (a call in training drops nothing)" in told
    assert "bidirectional" in told


def test_the_report_of_a_backend_that_declares_little_names_what_was_not_judged() -> None:
    [backend] = check_backend(
        find(f"{SAMPLES}:right"), cases=0, properties=["stack", "dropout", "purity.load"]
    ).backends
    assert unjudged(backend) == "layers, dropout, gradients (undeclared); load (forward has no load)"


def test_a_module_class_is_wrapped_with_every_option_of_its_constructor() -> None:
    found = find(LSTM)
    options = [name for name in OPTIONS if getattr(found.capabilities, name)]
    assert options == list(OPTIONS)
    assert found.capabilities.dtypes == DTYPES
    assert check_backend(found, cases=0, properties=["layout.shapes", "values.output"]).conformant


def test_a_module_class_has_gradients_right_or_wrong() -> None:
    found = {cls: {a.option: (a.runs, a.right) for a in abilities(find(cls))}["gradients"] for cls in (LSTM, CutOff)}
    assert found == {LSTM: (True, True), CutOff: (True, False)}
    assert find(CutOff).capabilities.gradients


def test_a_module_class_without_an_option_is_not_asked_for_it() -> None:
    capabilities = find(Plain).capabilities
    assert not capabilities.layers
    assert not capabilities.bidirectional
    assert capabilities.unbatched


def test_a_module_with_other_parameter_names_is_told_which_and_what_to_do() -> None:
    found = find(Wrapper)
    assert found.note == "capabilities were probed: none of them works"
    outcome, message = _smoke(found)
    assert outcome == "error"
    assert "it lacks weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0; it has besides lstm.weight_ih_l0" in message
    assert "write a function build(config, params)" in message


def test_a_module_that_returns_something_else_is_told_what_was_expected() -> None:
    expected = "forward returned a numpy.ndarray; expected output, (h_n, c_n)"
    assert _smoke(find(OutputOnly)) == ("error", expected)


def test_a_fixed_model_is_asked_only_for_what_its_inputs_can_vary() -> None:
    found = {a.option: a.right for a in abilities(find(f"{SAMPLES}:baked"))}
    inputs = {"unbatched": False, "lengths": False, "initial_state": True, "batch": True}
    assert found == {**inputs, "gradients": False}


def test_a_cell_is_not_asked_for_what_the_suite_loops_over() -> None:
    @cell_backend("probed-cell", Capabilities())
    def cell(config: Any, params: Any) -> Any:
        forward = find("numpy").build(config, params)

        def step(x: np.ndarray, state: Any) -> Any:
            _, (h_n, c_n) = forward(x[None], (state[0][None], state[1][None]))
            return h_n[0], c_n[0]

        return step

    beside_dtypes = {"no_bias", "projection", "initial_state", "batch"}
    assert {a.option for a in abilities(cell)} == beside_dtypes | set(DTYPES)


def test_a_function_that_computes_in_float64_only_is_probed_in_float64() -> None:
    """The usual naive NumPy: whatever comes in, float64 goes out."""

    def widened(forward: Any, config: LSTMConfig, x: Any, state: Any = None) -> Any:
        output, (h_n, c_n) = forward(x, state)
        return output.astype(float), (h_n.astype(float), c_n.astype(float))

    capabilities = probed("naive", around(widened).build).capabilities
    assert capabilities.dtypes == ("float64",)
    assert capabilities.initial_state
    assert capabilities.batch
    told = {each.option: each.fact for each in probed("naive", around(widened).build).not_judged}
    assert told["float32"] == Said("results have dtype float64")
