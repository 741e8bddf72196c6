"""The protocol between the suite and an implementation: what a backend is, declares and raises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from conformance.errors import Ended
from conformance.facts import NotJudged
from conformance.spec import DTYPES, GATES, Array, LSTMConfig, Params, State, dtype_unavailable

#: The words ``Capabilities.arithmetic`` may use for a dtype; without one, it is the dtype's own IEEE arithmetic, and
#: dot products of a 16-bit dtype are summed in float32 at least. "bf16" rounds all that is stored to bfloat16, and sums
#: in float32; "half-accumulate" sums in 16 bits.
ARITHMETICS = ("ieee", "tf32", "bf16-inputs", "bf16", "half-accumulate", "int8")

#: The gradients that ``Capabilities.gradients`` may name: those of x, of the initial state's parts, of every parameter.
GRADIENTS = ("x", "h_0", "c_0", "params")


class Unsupported(Exception):
    """Raised by a backend for what it does not have. Inside what it declared, it narrows the declaration."""


#: ``build(config, params) -> forward``, called as ``forward(x)``, ``forward(x, state)`` or with ``lengths=lengths``.
Build = Callable[[LSTMConfig, Params], Callable[..., Any]]
Step = Callable[[Array, State], State]
BuildStep = Callable[[LSTMConfig, Params], Step]

#: What a ``forward`` may have besides: ``vjp(…)``, ``load(params)`` and ``train(mode)``, see docs/backends.md.
OPTIONAL_METHODS = ("vjp", "load", "train")


@dataclass(frozen=True)
class Capabilities:
    """The abilities that a backend declares: nothing else is asked of it, and nothing else counts as passed.

    Plain ``Capabilities()`` declares one layer, one direction, bias, time-major, batches, initial state, float32.
    """

    #: More than one layer (``num_layers`` > 1).
    layers: bool = False
    #: Two directions (``bidirectional=True``).
    bidirectional: bool = False
    #: Models without biases (``bias=False``).
    no_bias: bool = False
    #: Inputs and outputs as (N, L, features) (``batch_first=True``).
    batch_first: bool = False
    #: Inputs and outputs as (L, N, features). If False, every model is asked for with ``batch_first=True``.
    time_major: bool = True
    #: A single sequence without the batch axis, x (L, I).
    unbatched: bool = False
    #: A projected hidden state (``proj_size`` > 0).
    projection: bool = False
    #: Rows of different length (``forward(x, state, lengths=lengths)``).
    lengths: bool = False
    #: ``forward.vjp``: True for the gradient of every input and parameter, or the names of those that it gives, of
    #: ``GRADIENTS``. Others that it gives are not judged.
    gradients: bool | tuple[str, ...] = False
    #: Dropout between layers in training.
    dropout: bool = False
    #: More than one row at a time (N > 1).
    batch: bool = True
    #: An initial state given by the caller; without it, every call starts from zeros.
    initial_state: bool = True
    #: The parts of ``output, (h_n, c_n)`` that are returned; the others are ``None``.
    returns: tuple[str, ...] = ("output", "h_n", "c_n")
    #: The dtypes of x, state, params and results.
    dtypes: tuple[str, ...] = ("float32",)
    #: For a dtype whose arithmetic is not its own: one of ``ARITHMETICS``. int8 declares structure, not values.
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    #: The same call gives the same bits.
    deterministic: bool = True
    #: Calls, and vjps, may come from two threads at once, of two models or of one.
    threads: bool = True
    #: Each new signature (config, arguments that are given, their shapes) costs a compilation: all is asked from few.
    compiled: bool = False
    #: A config and params baked into the implementation (a trained or exported model): only inputs vary.
    fixed: tuple[LSTMConfig, Params] | None = None
    #: {property id: reason with a link}; strict, so an unexpected pass is reported.
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _words("returns", self.returns, ("output", "h_n", "c_n"))
        _words("dtypes", self.dtypes, DTYPES)
        _words("arithmetic", tuple(self.arithmetic.values()), ARITHMETICS)
        _words("arithmetic", tuple(self.arithmetic), self.dtypes)
        if not isinstance(self.gradients, bool):
            _words("gradients", self.gradients, GRADIENTS)
            if not self.gradients:
                raise ValueError(
                    "Capabilities.gradients is empty: name at least one gradient, such as 'x', or say False"
                )
        if not self.time_major and not self.batch_first:
            raise ValueError("Capabilities.time_major is False: then batch_first must be declared, no layout is left")
        if not self.returns:
            raise ValueError("Capabilities.returns is empty: an LSTM that returns nothing cannot be judged")
        if not self.dtypes:
            raise ValueError("Capabilities.dtypes is empty: name at least one dtype, such as 'float32'")
        if self.fixed is not None and self.fixed[0].dtype not in self.dtypes:
            raise ValueError(f"Capabilities.fixed has dtype {self.fixed[0].dtype!r}, which dtypes does not name")
        if self.fixed is not None and not self.time_major and not self.fixed[0].batch_first:
            raise ValueError("Capabilities.time_major is False, but the config of Capabilities.fixed is time-major")

    def gives(self, gradient: str) -> bool:
        """Whether one of ``GRADIENTS`` is declared."""
        return self.gradients if isinstance(self.gradients, bool) else gradient in self.gradients


def _words(name: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    """``ValueError`` unless ``given`` is a sequence of known words: a lone string is the usual slip."""
    if isinstance(given, str):
        raise ValueError(f"Capabilities.{name} must be a tuple of words, got the string {given!r}: write ({given!r},)")
    for word in given:
        if word not in known:
            raise ValueError(f"Capabilities.{name} names {word!r}; the known words are {', '.join(known)}")


class Process(Protocol):
    """The process that holds an implementation, as the judge of its backend sees it."""

    #: Whether the calls to come may hang as others did: they get no more time than ordinary calls took.
    brief: bool

    def close(self) -> Ended | None:
        """Let the process end, and the next call start it again; how it died, if it did not end by itself."""
        ...


@dataclass(frozen=True)
class Backend:
    """One implementation under test; calling it builds a model: ``backend(config, params) -> forward``."""

    name: str
    capabilities: Capabilities
    build: Build
    #: Returns None, or the reason why the backend cannot run here.
    available: Callable[[], str | None] = lambda: None
    #: What the suite cannot ask of this kind of backend, for reasons of its form: "loop" for a cell; "unexpected" where
    #: the failures that it expects are a runtime's, and need not show in the one model that is judged.
    ruled_out: frozenset[str] = frozenset()
    #: What a reader of the report must know: "the suite supplies the loop over time", "capabilities were probed". A
    #: function is asked where the backend runs, such as for the device it runs on.
    note: str | Callable[[], str] = ""
    #: Where it was defined, as "file:line".
    origin: str = ""
    #: The process in which ``build`` and the models' calls run, if it is not the suite's.
    process: Process | None = None
    #: The options that a probe did not take for declared, with the reasons.
    not_judged: tuple[NotJudged, ...] = ()
    #: The name that its author gave it, where ``name`` is the target by which it was found.
    own_name: str = ""
    #: The version of the package or of the program that it belongs to, as that says it, or nothing.
    version: str = ""

    def __call__(self, config: LSTMConfig, params: Params) -> Callable[..., Any]:
        """Build a model."""
        return self.build(config, params)

    def remark(self) -> str:
        """Its note, put together here and now if it is a function."""
        return self.note if isinstance(self.note, str) else self.note()


def unavailable(backend: Backend) -> str | None:
    """Why a backend cannot be judged here at all, or None."""
    reasons = [dtype_unavailable(dtype) for dtype in backend.capabilities.dtypes]
    return backend.available() or (reasons[0] if all(reasons) else None)


def unjudged(backend: Backend) -> str | None:
    """Why a declared dtype cannot be judged here, or None."""
    return next((reason for dtype in backend.capabilities.dtypes if (reason := dtype_unavailable(dtype))), None)


def reorder(array: Array, order: str) -> Array:
    """``array`` (first axis 4H, gates in the order i, f, g, o) with its gates in the named order.

    ``reorder(weight_ih, "iofg")`` is what ONNX calls W. Raises ``ValueError`` for anything but a permutation of
    "ifgo" or a first axis that is not four equal blocks.
    """
    if sorted(order) != sorted(GATES):
        raise ValueError(f"order must be a permutation of {GATES!r}, got {order!r}")
    if array.shape[0] % 4:
        raise ValueError(f"the first axis must hold four gates of equal size, got shape {array.shape}")
    blocks = array.reshape(4, -1, *array.shape[1:])
    return np.ascontiguousarray(blocks[[GATES.index(gate) for gate in order]]).reshape(array.shape)


def can_be_called(model: object) -> bool:
    """Whether what a build function returned can be a model: a function, or an object that is called like one."""
    return callable(model) and not inspect.isclass(model)


def loop_over_time(build_step: BuildStep) -> Build:
    """A whole one-layer LSTM from an LSTMCell: the suite calls ``step`` once for each time step."""

    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        if config.num_layers > 1 or config.bidirectional or config.batch_first:
            raise Unsupported("a cell is one layer, one direction, time-major")
        step = build_step(config, params)
        if not can_be_called(step):
            told = "None" if step is None else f"a {type(step).__qualname__}"
            raise TypeError(f"it returned {told}; expected a function step(x_t, (h, c)) -> (h, c)")

        def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
            if x.ndim != 3:
                raise Unsupported(f"a cell is fed from batches (L, N, {config.input_size}), got x {x.shape}")
            if state is not None and not len(state[0]) == len(state[1]) == 1:
                raise ValueError(f"the state of one layer is (1, N, ·), got {state[0].shape} and {state[1].shape}")
            if state is None:
                batch = x.shape[1]
                h = np.zeros((batch, config.output_size), x.dtype)
                c = np.zeros((batch, config.hidden_size), x.dtype)
            else:
                h, c = state[0][0], state[1][0]
            output = []
            for x_t in x:
                h, c = step(x_t, (h, c))
                output.append(np.array(h))
            return np.stack(output), (np.array(h)[None], np.array(c)[None])

        return forward

    return build
