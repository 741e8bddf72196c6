"""The backends that docs/backends.md shows are run: each makes a library that wants another call conformant."""

from __future__ import annotations

import re
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from programs import ROOT

from conformance import Backend, check_backend

PAGE = (ROOT / "docs/backends.md").read_text(encoding="utf-8")

#: What a recipe could get wrong: shapes, values, states, rows, memory, calls from two threads, what calls leave behind.
ASKED = (
    *("smoke", "layout.shapes", "values.output", "values.c_n", "state.none-is-zeros", "state.slots"),
    *("purity.no-leak", "purity.no-alias", "purity.result-survives", "purity.two-models", "purity.threads"),
    *("purity.negative-stride", "purity.read-only"),
)

#: Asked where gradients are declared.
GRADIENTS = ("gradients.layout", "gradients.input", "gradients.state")


def _blocks() -> list[str]:
    """The blocks of the page that define a backend; the first has the imports of all."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if re.search(r"^@(cell_)?backend\(", block, re.MULTILINE)]


def _name(block: str) -> str:
    return block.partition('backend("')[2].partition('"')[0]


# The library: one LSTM, each form of which refuses what its recipe is there to spare it


def _step(weights: tuple[Any, Any, Any], x_t: Any, h: Any, c: Any) -> tuple[Any, Any]:
    w_x, w_h, bias = weights
    i, f, g, o = np.split(x_t @ w_x.T + h @ w_h.T + bias, 4, axis=-1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _sigmoid(a: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(0.5 * a)


class _Steps:
    def __init__(self, w_x: Any, w_h: Any, bias: Any) -> None:
        self.weights = w_x.copy(), w_h.copy(), bias

    def steps(self, x: Any, h: Any, c: Any) -> Any:
        output = []
        for x_t in x:
            h, c = _step(self.weights, x_t, h, c)
            output.append(h)
        return np.stack(output), h, c

    def whole(self, x: Any, state: Any) -> Any:
        zeros = np.zeros((1, x.shape[1], self.weights[1].shape[1]), x.dtype)
        (h,), (c,) = (zeros, zeros) if state is None else state
        output, h, c = self.steps(x, h, c)
        return output, (h[None], c[None])


class OneBias(_Steps):
    def __call__(self, x: Any, state: Any) -> Any:
        return self.whole(x, state)


class Plain(_Steps):
    def __init__(self, params: Any) -> None:
        bias = params["bias_ih_l0"] + params["bias_hh_l0"]
        super().__init__(params["weight_ih_l0"], params["weight_hh_l0"], bias)


class BatchFirst(Plain):
    def __call__(self, x: Any, h: Any, c: Any) -> Any:
        output, h, c = self.steps(x.swapaxes(0, 1), h, c)
        return output.swapaxes(0, 1), h, c


class OneSample(Plain):
    def __call__(self, x: Any, h: Any, c: Any) -> Any:
        assert x.ndim == 2
        return self.steps(x, h, c)


class OneStep(Plain):
    def __call__(self, x_t: Any, h: Any, c: Any) -> Any:
        return _step(self.weights, x_t, h, c)


class Stateful(Plain):
    """It writes each step into the arrays that it holds."""

    h: Any
    c: Any

    def step(self, x_t: Any) -> Any:
        self.h[...], self.c[...] = _step(self.weights, x_t, self.h, self.c)
        return self.h


class OneThread(Plain):
    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.own = threading.get_ident()

    def __call__(self, x: Any, state: Any) -> Any:
        assert threading.get_ident() == self.own
        return self.whole(x, state)


class PlainMemory(Plain):
    def __call__(self, x: Any, state: Any) -> Any:
        assert all(array.flags.carray for array in (x, *(state or ())))
        return self.whole(x, state)


class Float64(Plain):
    def __call__(self, x: Any, state: Any) -> Any:
        assert x.dtype == np.float64
        return self.whole(x, state)


LIBRARY = SimpleNamespace(
    **{kind.__name__: kind for kind in (BatchFirst, OneBias, OneSample, OneStep, Stateful, OneThread, PlainMemory)},
    Float64=Float64,
)


@pytest.mark.parametrize("block", _blocks(), ids=_name)
def test_a_backend_of_the_page_is_conformant(block: str) -> None:
    imports = _blocks()[0].partition("\n\n\n")[0]
    namespace: dict[str, Any] = {"library": LIBRARY}
    exec(imports + "\n" + block, namespace)
    [found] = [value for value in namespace.values() if isinstance(value, Backend)]
    asked = ASKED + GRADIENTS * bool(found.capabilities.gradients)
    report = check_backend(found, cases=0, only=asked, shrink=False)
    assert report.conformant, str(report)
    assert {str(v.outcome) for v in report.verdicts} <= {"passed", "not declared"}, str(report)


def test_the_page_has_a_recipe_for_each_form_of_the_library() -> None:
    used = set(re.findall(r"\blibrary\.(\w+)", PAGE))
    assert used == set(vars(LIBRARY))
