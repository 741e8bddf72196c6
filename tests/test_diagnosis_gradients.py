"""The diagnosis of gradients: mistakes in a backward pass written by hand, which the catalogue does not have so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from conformance.backend import Backend, Capabilities
from conformance.diagnosis.diagnose import diagnose
from conformance.engine.judging import Here
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Alteration, Degree, Diagnosis, Outcome
from conformance.faults import FAULTS, backend_of
from conformance.report.model import BackendReport, Verdict
from conformance.spec import Array, LSTMConfig, Params

CAPABILITIES = Capabilities(gradients=True, dtypes=("float64",))

#: What a step of the backward pass keeps in names of its own; a mistake changes them after the step named.
Mistake = Callable[[dict[str, Any]], None]


def _sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def by_hand(mistake: str = "") -> Backend:
    """One layer and direction, forward and backward, with one slip of the hand."""

    def build(config: LSTMConfig, params: Params) -> Any:
        W, U = params["weight_ih_l0"], params["weight_hh_l0"]
        b = params["bias_ih_l0"] + params["bias_hh_l0"]
        H = config.hidden_size

        def run(x: Array, state: Any) -> Any:
            h, c = (np.zeros((x.shape[1], H), x.dtype),) * 2 if state is None else (state[0][0], state[1][0])
            tape, outputs = [], []
            for x_t in x:
                i, f, g, o = np.split(x_t @ W.T + h @ U.T + b, 4, axis=1)
                i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
                new = f * c + i * g
                tape.append((x_t, h, c, i, f, g, o, new))
                h, c = o * np.tanh(new), new
                outputs.append(h)
            return np.stack(outputs), h, c, tape

        def forward(x: Array, state: Any = None) -> Any:
            output, h, c, _ = run(x, state)
            return output, (h[None].copy(), c[None].copy())

        def vjp(x: Array, state: Any, lengths: Any, d_output: Array, d_h_n: Array, d_c_n: Array) -> Any:
            output, h_n, c_n, tape = run(x, state)
            d_h, d_c, d_x = d_h_n[0], d_c_n[0], np.zeros_like(x)
            d_W, d_U, d_b = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
            for t in reversed(range(len(x))):
                x_t, h, c, i, f, g, o, new = tape[t]
                d_h = d_h + d_output[t]
                if mistake == "only the last output" and t < len(x) - 1:
                    d_h = d_h - d_output[t]
                slope = 1 - np.tanh(new) ** 2
                d_c = d_h * o * slope + (0 if mistake == "the later cell's overwritten" and t < len(x) - 1 else d_c)
                d_a_i = d_c * g * (i if mistake == "1 − i is missing" else i * (1 - i))
                d_a_f = d_c * (np.tanh(c) if mistake == "the squashed cell" else c) * f * (1 - f)
                parts = [d_a_i, d_a_f, d_c * i * (1 - g**2), d_h * np.tanh(new) * o * (1 - o)]
                if mistake == "packed i, g, f, o":
                    parts[1:3] = parts[2], parts[1]
                d_a = np.concatenate(parts, axis=1)
                d_W += d_a.T @ x_t
                d_U += d_a[:1].T @ h[:1] if mistake == "the first row's recurrent weights" else d_a.T @ h
                d_b += d_a.mean(axis=0) if mistake == "biases averaged over rows" else d_a.sum(axis=0)
                d_x[t], d_h, d_c = d_a @ W, d_a @ U, d_c * f
            if mistake == "a factor of its own":
                d_U = d_U * 1.1
            grads = {"x": d_x, "h_0": d_h[None], "c_0": d_c[None], "weight_ih_l0": d_W, "weight_hh_l0": d_U}
            grads |= {"bias_ih_l0": d_b, "bias_hh_l0": d_b.copy()}
            return (output, (h_n[None], c_n[None])), grads

        forward.vjp = vjp  # type: ignore[attr-defined]
        return forward

    return Backend("by hand", CAPABILITIES, build)


def found(backend: Backend, *more: str, seconds: float = 60.0) -> Diagnosis:
    """The diagnosis of what a few quick cases show."""
    only = ("gradients.weights", "gradients.biases", "gradients.state", "gradients.input", *more)
    settings = Settings(0, only=only, quick=True, shrink=False)
    return diagnose(Here(backend), conform(backend, settings), seconds)


@pytest.mark.parametrize(
    ("mistake", "alteration"),
    [
        ("only the last output", Alteration("gradient-of-last-output-alone")),
        ("the later cell's overwritten", Alteration("gradient-cell-detached-between-steps")),
        ("1 − i is missing", Alteration("gradient-slope-i-y")),
        ("the squashed cell", Alteration("gradient-d-f-by-tanh-c-before")),
        (
            "the first row's recurrent weights",
            Alteration("gradient-weights-of-first-row-alone", ("grad weight_hh",)),
        ),
        ("packed i, g, f, o", Alteration("gradient-of-gates-in-order-igfo")),
        ("biases averaged over rows", Alteration("gradients-divided-by-n", ("grad bias_ih", "grad bias_hh"))),
    ],
)
def test_a_slip_in_a_backward_pass_is_named_and_confirmed(mistake: str, alteration: Alteration) -> None:
    (cause,) = found(by_hand(mistake)).causes
    same = [cause.alterations, *cause.alternatives]
    assert cause.degree is Degree.CONFIRMED
    assert (alteration,) in same, same
    assert cause.explains


@pytest.mark.parametrize(
    ("fault", "id", "recipe"),
    [
        ("gradient-past-32-units", "gradients.untapped", "I=3 H=35 L=2 N=2"),
        ("gradient-accumulates", "gradients.repeat", "I=3 H=4 L=2 N=2"),
    ],
)
def test_what_large_sizes_or_later_calls_alone_show_is_named(fault: str, id: str, recipe: str) -> None:
    backend = backend_of(FAULTS[fault])
    failed = Verdict(backend.name, id, Outcome.FAILED, recipe=recipe)
    (cause,) = diagnose(Here(backend), BackendReport(backend.name, (failed,)), 60.0).causes
    assert (cause.degree, cause.alterations) == (Degree.CONFIRMED, (Alteration(fault),))


def test_what_no_alteration_explains_is_not_confirmed() -> None:
    diagnosis = found(by_hand("a factor of its own"), seconds=3.0)
    assert all(cause.degree is not Degree.CONFIRMED for cause in diagnosis.causes)
    assert not any(cause.alterations for cause in diagnosis.causes)


def test_a_right_backward_pass_is_asked_nothing() -> None:
    assert found(by_hand()).calls == 0


def differentiated() -> Backend:
    """An LSTM whose f and g change places, and whose gradients are autograd's."""

    def build(config: LSTMConfig, params: Params) -> Any:
        def run(x: Any, h: Any, c: Any, weights: dict[str, Any]) -> Any:
            outputs, (h, c) = [], (h[0], c[0])
            for x_t in x:
                a = x_t @ weights["weight_ih_l0"].T + h @ weights["weight_hh_l0"].T
                i, g, f, o = (a + weights["bias_ih_l0"] + weights["bias_hh_l0"]).chunk(4, dim=1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                outputs.append(h)
            return torch.stack(outputs), h[None], c[None]

        def leaves(x: Array, state: Any) -> dict[str, Any]:
            zeros = np.zeros((1, x.shape[1], config.hidden_size), x.dtype)
            h_0, c_0 = (zeros, zeros) if state is None else state
            given = {"x": x, "h_0": h_0, "c_0": c_0, **params}
            return {name: torch.tensor(value, requires_grad=True) for name, value in given.items()}

        def results(leaf: dict[str, Any]) -> Any:
            return run(leaf["x"], leaf["h_0"], leaf["c_0"], leaf)

        def forward(x: Array, state: Any = None) -> Any:
            output, h_n, c_n = (part.detach().numpy() for part in results(leaves(x, state)))
            return output, (h_n, c_n)

        def vjp(x: Array, state: Any, lengths: Any, *cotangents: Array) -> Any:
            leaf = leaves(x, state)
            parts = results(leaf)
            torch.autograd.backward(parts, [torch.tensor(part) for part in cotangents])
            output, h_n, c_n = (part.detach().numpy() for part in parts)
            return (output, (h_n, c_n)), {name: one.grad.numpy() for name, one in leaf.items()}

        forward.vjp = vjp  # type: ignore[attr-defined]
        return forward

    return Backend("differentiated", CAPABILITIES, build)


def test_gradients_of_a_wrong_forward_pass_are_explained_by_its_cause() -> None:
    diagnosis = found(differentiated(), "values")
    (cause,) = diagnosis.causes
    assert cause.degree is Degree.CONFIRMED
    assert cause.alterations == (Alteration("gate-order-igfo"),)
    assert {id for id in cause.explains if id.startswith("gradients.")}
    assert not [id for id in diagnosis.remaining if id.startswith("gradients.")]
