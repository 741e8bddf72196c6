"""Other test sets tried on the same faults: the ONNX project's node tests, and a typical hand-written one.

A peer is such a set: single calls with wanted results and a tolerance. ONNX's are those of its own package, with its
own tolerance (``onnx/backend/test/case/node/lstm.py``); the hand-written one compares with ``torch.nn.LSTM``.

A peer cannot express a fault if no single call of the peer's form gives other bits than the correct LSTM: no vectors
that are only chosen better would show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib import import_module
from importlib.metadata import version
from itertools import product
from typing import Any

import numpy as np

from conformance.backend import Backend, Build, Capabilities, Unsupported
from conformance.cases import strategies
from conformance.cases.case import Case, canonical, handed, realise
from conformance.cases.fixed_set import fixed_set
from conformance.cases.recipe import FILLS, Recipe
from conformance.conventions.parameters import gate_order, gates_read_as
from conformance.engine.search import search
from conformance.errors import UsageError
from conformance.faults.fault import Fault
from conformance.faults.twin import Twin
from conformance.spec import Array, LSTMConfig, Result, Slot, State
from conformance.trials.calls import fresh_params, shape_error, unpack

#: What a peer says of a fault.
CAUGHT, MISSED, INEXPRESSIBLE = "caught", "missed", "cannot express"

#: Random calls, besides the fixed set with every fill, among which a fault is looked for.
_DRAWN = 50


@dataclass(frozen=True)
class Vector:
    """One call, and its canonical result; the parts that are None are not compared."""

    name: str
    case: Case
    want: Result
    #: The first direction that is compared: 1 for a test of the reverse direction alone.
    first: int = 0


@dataclass(frozen=True)
class Peer:
    """A set of vectors that are compared by dtype, shape and ``rtol``/``atol``."""

    name: str
    vectors: tuple[Vector, ...]
    rtol: float
    atol: float
    #: What its calls may use, whatever their numbers.
    form: Capabilities
    #: Where it comes from.
    source: str
    #: Its tests that are not translated: nn.LSTM has no peepholes.
    apart: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """A description of it, on one line."""
        text = f"{self.name}: {len(self.vectors)} calls, {self.source}, rtol {self.rtol:g}, atol {self.atol:g}"
        return text + (f"; not translated: {', '.join(self.apart)}" if self.apart else "")


def peers() -> tuple[Peer, ...]:
    """All of them; ``UsageError`` without onnx or torch."""
    return onnx_tests(), hand_written()


def _needed(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        needed = f"the peers need {module.partition('.')[0]}, which does not load: {error}"
        raise UsageError(needed, 'pip install "lstm-conformance[peers]"') from None


# The ONNX project's node tests. W (D, 4H, I), R (D, 4H, H), B (D, 8H); gates in the order i, o, f, c


def onnx_tests() -> Peer:
    """The LSTM node tests of the installed ``onnx`` package."""
    _needed("onnx.backend.test.case.node.lstm")
    # Importing the module makes its tests; onnx's own loader reads them here.
    cases = [case for case in _needed("onnx.backend.test.case.node")._NodeTestCases if _node(case).op_type == "LSTM"]
    vectors = {case.name: _vector(case) for case in cases}
    [(rtol, atol)] = {(case.rtol, case.atol) for case in cases}
    form = Capabilities(bidirectional=True, no_bias=True, batch_first=True, lengths=True)
    apart = tuple(name for name, vector in vectors.items() if vector is None)
    source = f"onnx {version('onnx')}"
    return Peer("ONNX node tests", tuple(v for v in vectors.values() if v is not None), rtol, atol, form, source, apart)


def _node(test: Any) -> Any:
    return test.model.graph.node[0]


def _vector(test: Any) -> Vector | None:
    """A node test as a call of an nn.LSTM, or None if it uses more than weights, biases, direction and layout."""
    node = _node(test)
    attributes = {a.name: a.i if a.name in ("hidden_size", "layout") else a.s.decode() for a in node.attribute}
    [(inputs, outputs)] = test.data_sets
    given = dict(zip((name for name in node.input if name), inputs, strict=True))
    wanted = dict(zip((name for name in node.output if name), outputs, strict=True))
    if not given.keys() <= {"X", "W", "R", "B"} or not attributes.keys() <= {"hidden_size", "layout", "direction"}:
        return None

    batch_first, reverse = attributes.get("layout") == 1, attributes.get("direction") == "reverse"
    D, H = given["R"].shape[0], attributes["hidden_size"]
    config = LSTMConfig(
        given["W"].shape[2], H, bias="B" in given, batch_first=batch_first, bidirectional=reverse or D > 1
    )
    params: dict[str, Array] = {}
    for d in range(config.num_directions):
        own = 0 if reverse else d
        packed = {"weight_ih": given["W"][own], "weight_hh": given["R"][own]}
        if config.bias:
            packed["bias_ih"], packed["bias_hh"] = np.split(given["B"][own], 2)
        for name, value in packed.items():
            params[name + Slot(0, d).suffix] = gate_order("iofg")(config, name, value)

    x = given["X"].swapaxes(0, 1) if batch_first else given["X"]
    Y, Y_h, Y_c = (wanted.get(name) for name in ("Y", "Y_h", "Y_c"))
    if Y is not None:
        Y = Y.transpose((1, 0, 2, 3) if batch_first else (0, 2, 1, 3)).reshape(*x.shape[:2], -1)
    want = Result(Y, *(part.swapaxes(0, 1) if batch_first and part is not None else part for part in (Y_h, Y_c)))
    return Vector(test.name, Case(config, params, np.ascontiguousarray(x)), want, int(reverse))


# A typical hand-written test


def hand_written() -> Peer:
    """nn.LSTM as it is initialised, one shape, allclose at 1e-4 and 1e-5, for every choice of five options."""
    torch = _needed("torch")
    vectors = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for bidirectional, bias, batch_first, given, stacked in product((False, True), repeat=5):
            layers = 1 + stacked
            config = LSTMConfig(10, 20, layers, bias, batch_first, bidirectional)
            lstm = torch.nn.LSTM(10, 20, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
            x, shape = torch.randn(5, 3, 10), (layers * config.num_directions, 3, 20)
            state = (torch.randn(shape), torch.randn(shape)) if given else None
            output, (h_n, c_n) = lstm(x.transpose(0, 1) if batch_first else x, state)
            params = {name: value.numpy() for name, value in lstm.state_dict().items()}
            arrays: State | None = None if state is None else (state[0].numpy(), state[1].numpy())
            case = Case(config, params, x.numpy(), arrays)
            want = canonical(case, Result(output.numpy(), h_n.numpy(), c_n.numpy()))
            vectors.append(Vector(case.describe(), case, want))
    form = Capabilities(layers=True, bidirectional=True, no_bias=True, batch_first=True)
    return Peer("hand-written test", tuple(vectors), 1e-4, 1e-5, form, f"torch {torch.__version__}")


# Verdicts


def verdict(peer: Peer, fault: Fault) -> str:
    """``CAUGHT``, ``MISSED`` or ``INEXPRESSIBLE``."""
    if not accepts(peer, fault.build, fault.capabilities):
        return CAUGHT
    return MISSED if shows(fault, peer.form) else INEXPRESSIBLE


def accepts(peer: Peer, build: Build, capabilities: Capabilities) -> bool:
    """Whether an implementation passes all of a peer's vectors that it declares."""
    asked = (vector for vector in peer.vectors if _declared(vector.case, capabilities))
    return all(_passes(vector, build, peer.rtol, peer.atol) for vector in asked)


def reading(order: str) -> Twin:
    """The correct LSTM, but for its parameters, whose gates it reads in ``order``."""
    return Twin(transform=gates_read_as(order))


def _declared(case: Case, c: Capabilities) -> bool:
    config = case.config
    options = (
        (config.num_layers > 1, c.layers),
        (config.bidirectional, c.bidirectional),
        (not config.bias, c.no_bias),
        (config.batch_first, c.batch_first),
        (case.batch > 1, c.batch),
        (case.state is not None, c.initial_state),
    )
    return config.dtype in c.dtypes and all(declared for used, declared in options if used)


def _passes(vector: Vector, build: Build, rtol: float, atol: float) -> bool:
    case, got = vector.case, result_of(build, vector.case)
    if got is None or shape_error(case, got):
        return got is None
    output, h_n, c_n = canonical(case, got)
    output = None if output is None else output[..., vector.first * case.config.output_size :]
    h_n, c_n = (None if part is None else part[vector.first :] for part in (h_n, c_n))
    return all(
        part is not None and part.dtype == want.dtype and np.allclose(part, want, rtol, atol, equal_nan=True)
        for part, want in zip((output, h_n, c_n), vector.want, strict=True)
        if want is not None
    )


def result_of(build: Build, case: Case) -> Result | None:
    """The raw result of one call of a new model; without any part if it fails, None if it is not supported."""
    x, state, lengths = handed(case)
    try:
        with np.errstate(all="ignore"):
            model = build(case.config, fresh_params(case.params))
            return unpack(model(x, state) if lengths is None else model(x, state, lengths=lengths))
    except Unsupported:
        return None
    except Exception:
        return Result(None, None, None)


# What can be expressed


def shows(fault: Fault, form: Capabilities) -> bool:
    """Whether some single call of a form, on a new model, gives other bits than the correct LSTM's."""
    declared = fault.capabilities
    both = {
        name: getattr(form, name) and getattr(declared, name)
        for name in ("layers", "bidirectional", "no_bias", "batch_first", "lengths", "batch", "initial_state")
    }
    if not set(form.dtypes) <= set(declared.dtypes):
        return False
    backend = Backend(fault.id, replace(form, **both), fault.build, ruled_out=frozenset({"views"}))
    differs = partial(_differs, fault)
    if any(differs(recipe) for recipe in _recipes(backend)):
        return True
    drawn = search(strategies.recipes(backend), differs, _DRAWN, entropy=0, shrink=False)
    return drawn is not None


def _recipes(backend: Backend) -> Iterator[Recipe]:
    return (replace(recipe, fill=fill) for recipe in fixed_set(backend, 0) for fill in FILLS)


def _differs(fault: Fault, recipe: Recipe) -> bool:
    """Whether a recipe's call, or an ordinary one with a NaN in x, gives other bits than the correct LSTM's."""
    return any(
        # A build of its own for each call: what it leaves to the next model is no single call's.
        not equal(result_of(fault.build, case), right)
        for case, right in zip(_calls(recipe), _right(recipe), strict=True)
    )


def _calls(recipe: Recipe) -> tuple[Case, ...]:
    case = realise(recipe)
    if recipe.fill != "normal":
        return (case,)
    x = case.x.copy()
    x[0, 0, 0] = np.nan
    return case, replace(case, x=x)


@lru_cache(maxsize=4096)
def _right(recipe: Recipe) -> tuple[Result | None, ...]:
    return tuple(result_of(Twin().build, case) for case in _calls(recipe))


def equal(a: Result | None, b: Result | None) -> bool:
    """Whether all parts have equal bits and dtypes; what is not supported equals anything."""
    if a is None or b is None:
        return True
    return all(
        p is not None and q is not None and p.dtype == q.dtype and np.array_equal(p, q, equal_nan=True)
        for p, q in zip(a, b, strict=True)
    )
