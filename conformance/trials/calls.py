"""One call of a backend's model, as the contract spells it, and what must come back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from conformance.backend import Capabilities, Unsupported, can_be_called
from conformance.cases.case import Case, canonical
from conformance.errors import Ended
from conformance.facts import Misshapen, Raised
from conformance.facts import Unsupported as UnsupportedFact
from conformance.reference.backward import Gradients
from conformance.spec import Array, Params, Result, State, numpy_dtype, state_shapes
from conformance.trials.frames import frames
from conformance.trials.outcomes import BackendError, Discard, Lacking, Narrowed, Violation, shown

#: What one call is handed: x, the initial state and the lengths, the latter two None where they are not given.
Arguments = tuple[Array, State | None, Array | None]

#: What one vjp is handed: these, and the cotangents of output, h_n and c_n.
VjpArguments = tuple[Array, State | None, Array | None, Array, Array, Array]


def fresh_params(params: Params) -> dict[str, Array]:
    """Copies of the parameters, C-contiguous and writable, as the contract promises them."""
    return {name: np.array(value, order="C") for name, value in params.items()}


def call(model: Callable[..., Any], case: Case, x: Array, state: State | None, lengths: Array | None) -> Result:
    """One call as the contract spells it; anything but ``output, (h_n, c_n)`` of arrays is a ``BackendError``."""
    with blaming("forward", case):
        if lengths is not None:
            returned = model(x, state, lengths=lengths)
        elif state is not None:
            returned = model(x, state)
        else:
            returned = model(x)
    return unpack(returned)


def call_vjp(
    model: Callable[..., Any],
    case: Case,
    x: Array,
    state: State | None,
    lengths: Array | None,
    grad_output: Array,
    grad_h_n: Array,
    grad_c_n: Array,
) -> tuple[Result, Mapping[str, Array]]:
    """One ``forward.vjp`` as the contract spells it; anything but a result and a dict of arrays is an error."""
    vjp = getattr(model, "vjp", None)
    if vjp is None:
        raise BackendError(
            "gradients are declared, but forward has no attribute vjp: set forward.vjp = vjp, called as "
            "vjp(x, state, lengths, grad_output, grad_h_n, grad_c_n)"
        )
    with blaming("forward.vjp", case):
        returned = vjp(x, state, lengths, grad_output, grad_h_n, grad_c_n)
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise BackendError(f"forward.vjp returned {_shape_of(returned)}; expected (output, (h_n, c_n)), grads")
    result, grads = returned
    if not isinstance(grads, Mapping):
        raise BackendError(f"forward.vjp returned grads as {_shape_of(grads)}; expected a dict by argument")
    for name, value in grads.items():
        if not isinstance(value, np.ndarray):
            raise BackendError(f"forward.vjp returned grads[{name!r}] as {_shape_of(value)}; expected a NumPy array")
    return unpack(result, "forward.vjp"), grads


def call_load(model: Callable[..., Any], case: Case, params: Params) -> None:
    """``forward.load(params)``: the model goes on with other weights. ``Lacking`` if it has no ``load``."""
    with blaming("forward.load", case):
        _optional(model, "load")(params)


def call_train(model: Callable[..., Any], case: Case, mode: bool) -> None:
    """``forward.train(mode)``: the model goes on in training, or in evaluation. ``Lacking`` if it has no ``train``."""
    with blaming("forward.train", case):
        _optional(model, "train")(mode)


def check_model(model: Any) -> None:
    """``BackendError`` for anything else than a function."""
    if not can_be_called(model):
        raise BackendError(
            f"build returned {_shape_of(model)}; expected a function forward(x, state=None)\n  hint: {_hint(model)}"
        )


def _hint(model: Any) -> str:
    if model is None:
        return "does it end with `return forward`?"
    if inspect.isclass(model):
        return "return an instance that can be called, or a method of one"
    if isinstance(model, tuple | list):
        return "return the function itself, do not call it"
    if hasattr(model, "forward"):
        return "return its method `.forward`, or give its class a method `__call__`"
    return "`lstm-conformance new FILE` writes an example"


def _optional(model: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The model's method of a name that the contract leaves to it; ``Lacking`` if it has none."""
    method = getattr(model, name, None)
    if method is None:
        raise Lacking(name)
    return method


def unpack(returned: Any, what: str = "forward") -> Result:
    """The parts of what a call returned, or a ``BackendError`` that says what came instead."""
    expected = "expected output, (h_n, c_n)"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise BackendError(f"{what} returned {_shape_of(returned)}; {expected}")
    output, state = returned
    if not isinstance(state, tuple | list) or len(state) != 2:
        raise BackendError(f"{what} returned {_shape_of(state)} as its second part; {expected}")
    for name, part in zip(Result._fields, (output, *state), strict=True):
        if part is not None and not isinstance(part, np.ndarray):
            raise BackendError(f"{what} returned {name} as {_shape_of(part)}; expected a NumPy array")
    return Result(output, *state)


def _shape_of(value: Any) -> str:
    if value is None or inspect.isclass(value):
        return "None" if value is None else f"the class {value.__qualname__}"
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if isinstance(value, tuple | list):
        return f"a {kind} of {len(value)}"
    return f"a {kind}"


#: Told of each call as it begins, by its name and its case; a process that may hang in one tells its parent.
listeners: list[Callable[[str, Case], None]] = []


@contextmanager
def blaming(what: str, case: Case) -> Iterator[None]:
    """Turns the backend's exceptions into a verdict: ``Unsupported`` narrows, anything else is an error of its own."""
    for begins in listeners:
        begins(what, case)
    try:
        with np.errstate(all="ignore"):
            yield
    except (Ended, Discard):
        raise
    except Unsupported as reason:
        raise Narrowed(UnsupportedFact(case.describe(), shown(str(reason)))) from reason
    except (Exception, SystemExit) as error:
        raise BackendError(Raised(what, type(error).__name__, shown(str(error)), frames(error))) from error


def canonical_result(case: Case, result: Result, returns: tuple[str, ...]) -> Result:
    """A raw result in canonical layout and copies of its own, the parts in ``returns`` alone.

    A part that is None raises ``BackendError``, and a wrong shape ``Violation``.
    """
    if absent := [name for name in returns if getattr(result, name) is None]:
        raise BackendError(f"forward returned None for {' and '.join(absent)}, which its capabilities declare")
    if error := shape_error(case, result):
        raise Violation(error)
    parts = (part if name in returns else None for name, part in zip(Result._fields, result, strict=True))
    return canonical(case, Result(*(None if part is None else np.array(part) for part in parts)))


def canonical_gradients(case: Case, grads: Mapping[str, Array], declared: Capabilities) -> Gradients:
    """The declared gradients by argument in canonical layout, in copies of their own; wrong ones raise ``Violation``.

    ``gradients=True`` says nothing about a state that is never given, nor about parameters that are baked in.
    """
    shapes = dict(zip(("x", "h_0", "c_0"), argument_shapes(case), strict=True))
    shapes |= {name: value.shape for name, value in case.params.items()}
    if unknown := [name for name in grads if name not in shapes]:
        raise Violation(f"grads has {unknown[0]!r}, which is neither an argument nor a parameter")
    wanted = {
        name: shape for name, shape in shapes.items() if declared.gives("params" if name in case.params else name)
    }
    spared: set[str] = set()
    if declared.gradients is True:
        spared |= set() if declared.initial_state else {"h_0", "c_0"}
        spared |= set(case.params) if case.fixed else set()
    if error := _gradient_error(grads, wanted, spared, numpy_dtype(case.config.dtype)):
        raise Violation(error)
    gradients = {name: np.array(grads[name]) for name in wanted if name in grads}
    for name in ("x", "h_0", "c_0") if case.unbatched else ():
        if name in gradients:
            gradients[name] = gradients[name][:, None]
    if case.config.batch_first and not case.unbatched and "x" in gradients:
        gradients["x"] = np.ascontiguousarray(gradients["x"].swapaxes(0, 1))
    return gradients


def _gradient_error(
    grads: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]], spared: set[str], dtype: np.dtype[Any]
) -> str | Misshapen | None:
    """The error in the shapes and dtypes of the wanted gradients, or None; ``spared`` ones may be absent."""
    for name, shape in wanted.items():
        if name not in grads:
            if name not in spared:
                return f"grads has no {name!r}"
        elif grads[name].shape != shape:
            return Misshapen(f"grads[{name!r}]", grads[name].shape, shape, ", that of its argument")
        elif grads[name].dtype != dtype:
            return f"grads[{name!r}] has dtype {grads[name].dtype}, expected {dtype}"
    return None


def expected_shapes(case: Case) -> dict[str, tuple[int, ...]]:
    """The shapes of output, h_n and c_n that a call of ``case`` must return."""
    config, L, N = case.config, case.steps, case.batch
    width = config.num_directions * config.output_size
    h_n, c_n = state_shapes(config, N)
    if case.unbatched:
        return {"output": (L, width), "h_n": (h_n[0], h_n[2]), "c_n": (c_n[0], c_n[2])}
    return {"output": (N, L, width) if config.batch_first else (L, N, width), "h_n": h_n, "c_n": c_n}


def argument_shapes(case: Case) -> tuple[tuple[int, ...], ...]:
    """The shapes of x, h_0 and c_0 as a call of ``case`` is handed them."""
    config, L, N = case.config, case.steps, case.batch
    h_0, c_0 = state_shapes(config, N)
    if case.unbatched:
        return (L, config.input_size), (h_0[0], h_0[2]), (c_0[0], c_0[2])
    return (N, L, config.input_size) if config.batch_first else (L, N, config.input_size), h_0, c_0


def shape_error(case: Case, result: Result) -> Misshapen | None:
    """The error in the shapes of a raw result, or None."""
    for part, (name, shape) in zip(result, expected_shapes(case).items(), strict=True):
        if part is not None and part.shape != shape:
            return Misshapen(name, part.shape, shape)
    return None
