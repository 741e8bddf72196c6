"""The fix as code: around the altered LSTM it makes the right one; lines for an author's loop are the equations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from conformance.backend import reorder
from conformance.conventions import CONVENTIONS
from conformance.diagnosis.library import everywhere, scoped, twin_of
from conformance.diagnosis.own_code import OWN_CODE, own_code
from conformance.diagnosis.remedies import AFTER, BEFORE, BUILD, OWN, remedy
from conformance.facts import Alteration
from conformance.faults import equations, structure
from conformance.faults.families import known, wiring
from conformance.faults.families.steps import families
from conformance.faults.fault import FULL, GATES
from conformance.reference.forward import lstm, sigmoid
from conformance.spec import Array, LSTMConfig, param_shapes, state_shapes

#: Every option, and sizes that are equal or a multiple, where some mistakes show.
CONFIGS = (
    LSTMConfig(12, 3, num_layers=3, bidirectional=True, dtype="float64", batch_first=True, proj_size=2),
    LSTMConfig(3, 3, num_layers=2, bidirectional=True, dtype="float64"),
    LSTMConfig(3, 2, num_layers=2, bias=False, dtype="float64"),
)

Call = tuple[Array, Any, Any]


def parts(text: str) -> dict[str, str]:
    """The code of a remedy by the first line of each part."""
    found: dict[str, str] = {}
    title = ""
    for line in text.splitlines():
        if line in (BUILD, BEFORE, AFTER) or line.startswith(OWN):
            title = OWN if line.startswith(OWN) else line
        else:
            found[title] = found.get(title, "") + line + "\n"
    return found


def mended(alteration: Alteration, config: LSTMConfig, params: dict[str, Array], call: Call) -> tuple[Array, ...]:
    """What the altered LSTM returns with its remedy around it, as its user would add it."""
    twin, code = twin_of([alteration]), parts(remedy(alteration))
    assert twin is not None
    names: dict[str, Any] = {"np": np, "reorder": reorder, "config": config, "params": params}
    exec(code.get(BUILD, ""), names)
    names |= dict(zip(("x", "state", "lengths"), call, strict=True))
    exec(code.get(BEFORE, ""), names)
    output, (h_n, c_n) = twin.build(config, names["params"])(names["x"], names["state"], names["lengths"])
    names |= {"output": output, "h_n": h_n, "c_n": c_n}
    exec(code.get(AFTER, ""), names)
    return names["output"], names["h_n"], names["c_n"]


@lru_cache
def calls(config: LSTMConfig, square: bool) -> list[tuple[dict[str, Array], Call, tuple[Array, ...]]]:
    """Parameters, a call and its right results: of several rows with a state, with lengths, and of one step alone."""
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=shape) for name, shape in param_shapes(config).items()}
    found = []
    for steps, rows in ((3, 3 if square else 2), (3, 3), (1, 1), (2, None), (1, None)):
        shape = (steps,) if rows is None else (rows, steps) if config.batch_first else (steps, rows)
        h_0, c_0 = (rng.normal(size=shape) for shape in state_shapes(config, rows or 1))
        x = rng.normal(size=(*shape, config.input_size))
        call = x, (h_0, c_0) if rows else (h_0[:, 0], c_0[:, 0]), np.array([1, 2, 2]) if rows == 3 else None
        output, (h_n, c_n) = lstm(config, params, *call)
        found.append((params, call, (output, h_n, c_n)))
    return found


def right(found: tuple[Array, ...], wanted: tuple[Array, ...]) -> bool:
    return all(a.shape == b.shape and np.abs(a - b).max() < 1e-12 for a, b in zip(found, wanted, strict=True))


def tried(alteration: Alteration) -> Iterator[tuple[bool, bool]]:
    """For each call, whether the altered LSTM is right without its remedy, and with it."""
    twin = twin_of([alteration])
    assert twin is not None
    for config in CONFIGS:
        for params, (x, state, lengths), wanted in calls(config, alteration.fault == "batch-first-ignored"):
            if alteration.fault in OF_BATCHES and x.ndim == 2:
                continue
            output, (h_n, c_n) = twin.build(config, params)(x.copy(), state, lengths)
            plain = right((output, h_n, c_n), wanted)
            yield plain, right(mended(alteration, config, params, (x.copy(), state, lengths)), wanted)


def executable(alteration: Alteration) -> bool:
    code = parts(remedy(alteration))
    return bool(code) and OWN not in code


#: These need 16-bit results to show, or are wrong in their dtype alone.
NOT_SHOWN = {"half-h-n-in-float32", "answer-in-float64"}

#: The altered twin takes rows of an unbatched x too; code that adds an axis does not.
OF_BATCHES = {"batch-first-ignored", "final-states-of-one-row-squeezed"}

EVERYWHERE = [one for one in everywhere() if executable(one) and one.fault not in NOT_SHOWN]
SCOPED = [one for one in scoped(FULL) if executable(one) and twin_of([one])]


@pytest.mark.parametrize("alteration", EVERYWHERE, ids=lambda one: one.fault)
def test_an_altered_lstm_with_its_remedy_around_it_is_right(alteration: Alteration) -> None:
    found = list(tried(alteration))
    assert all(with_it for _, with_it in found)
    assert not all(without for without, _ in found)


def test_remedies_in_a_scope_are_for_that_scope() -> None:
    wrong = [one for one in SCOPED[::41] if not all(with_it for _, with_it in tried(one))]
    assert wrong == []


def test_the_code_is_short_and_is_python() -> None:
    for alteration in (*everywhere(), *scoped(FULL)):
        text = remedy(alteration)
        if "return " not in text:
            compile(text, alteration.fault, "exec")
        assert len(text.splitlines()) <= 12
        assert all(len(line) <= 120 for line in text.splitlines())


def test_every_convention_and_every_structural_fault_has_a_remedy() -> None:
    ids = {c.id for c in CONVENTIONS} | {f.id for module in (equations, structure) for f in module.FAULTS}
    ids |= {fault.id for fault in wiring.families()}
    ids |= {fault.id for fault in families() if not fault.id.startswith("parameters-")} - {"stored-in-float16"}
    assert [id for id in sorted(ids) if not remedy(Alteration(id))] == []


def test_own_code_is_of_known_faults() -> None:
    assert OWN_CODE.keys() <= known().keys()


def test_the_equations_of_the_authors_step_are_the_right_ones() -> None:
    rng = np.random.default_rng(2)
    x_t, h, c = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 5))
    W_ih, W_hh, W_hr = rng.normal(size=(20, 3)), rng.normal(size=(20, 4)), rng.normal(size=(4, 5))
    b_ih, b_hh = rng.normal(size=20), rng.normal(size=20)
    a = x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_t = f * c + i * g
    m = o * np.tanh(c_t)
    right = {"a": a, "i": i, "f": f, "g": g, "o": o, "c_t": c_t, "h_t": m, "h": m @ W_hr.T}
    given = {"np": np, "sigmoid": sigmoid, "x_t": x_t, "h": h, "c": c, "W_ih": W_ih, "W_hh": W_hh, "W_hr": W_hr}
    given |= {"b_ih": b_ih, "b_hh": b_hh, "a_i": a_i, "a_f": a_f, "a_g": a_g, "a_o": a_o} | right | {"h": h}
    of_the_step = [f.id for f in equations.FAULTS] + [f.id for f in families() if f.kind == GATES]
    lines = [(id, code) for id in of_the_step if (code := own_code(id)) and "slot" not in code]
    assert len(lines) > 70
    for id, code in lines:
        names = dict(given)
        exec(code, names)
        projected = "W_hr" in code
        for name in {name for name in right if names[name] is not given[name]}:
            wanted = right["h"] if projected and name == "h_t" else right[name]
            assert np.allclose(names[name], wanted, atol=1e-14, rtol=0), (id, name)
        assert any(names[name] is not given[name] for name in right), id
