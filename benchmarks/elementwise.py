"""Ten of the suite's properties as a project writes them without the suite: one ordinary Hypothesis test for each.

Each test draws its own call, array by array, with ``hypothesis.extra.numpy.arrays``, and runs the backend for itself.
The oracle is the suite's, in float64; what it is compared by is a typical fixed tolerance. Sizes are small, for
Hypothesis draws no large arrays element by element. ``benchmarks.speed`` sets these tests beside the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from conformance.backend import Build
from conformance.reference.forward import lstm
from conformance.spec import Array, LSTMConfig, Result, Slot, State, layer_params, param_shapes, state_shapes

#: What the tests make use of. A backend that does not declare all of it is not asked.
NEEDED = ("layers", "bidirectional", "no_bias", "batch_first", "lengths", "initial_state")


class Call(NamedTuple):
    """One call: x (L, N, I) whatever the layout, the state and the lengths, the latter two None if not given."""

    config: LSTMConfig
    params: dict[str, Array]
    x: Array
    state: State | None = None
    lengths: Array | None = None

    def numbers(self) -> int:
        """How many numbers it consists of."""
        return sum(part.size for part in (*self.params.values(), self.x, *(self.state or ())))


def _array(*shape: int) -> st.SearchStrategy[Array]:
    return arrays(np.float32, shape, elements=st.floats(-1, 1, width=32))


@st.composite
def calls(draw: st.DrawFn, ragged: bool = False, **chosen: Any) -> Call:
    """A small call, with some of its config ``chosen``."""
    choices: dict[str, Any] = {
        "input_size": st.integers(1, 5),
        "hidden_size": st.integers(1, 5),
        "num_layers": st.integers(1, 2),
    }
    choices |= {name: st.booleans() for name in ("bias", "batch_first", "bidirectional")}
    config = LSTMConfig(**{name: draw(choice) for name, choice in choices.items()} | chosen)
    steps, rows = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    params = {name: draw(_array(*shape)) for name, shape in param_shapes(config).items()}
    h_shape, c_shape = state_shapes(config, rows)
    state = (draw(_array(*h_shape)), draw(_array(*c_shape))) if draw(st.booleans()) else None
    lengths = draw(arrays(np.int64, rows, elements=st.integers(1, steps))) if ragged else None
    return Call(config, params, draw(_array(steps, rows, config.input_size)), state, lengths)


def run(build: Build, call: Call) -> Result:
    """What a fresh model returns, output (L, N, D·P)."""
    first = call.config.batch_first
    forward = build(call.config, call.params)
    x = np.ascontiguousarray(call.x.swapaxes(0, 1)) if first else call.x
    output, (h_n, c_n) = (
        forward(x, call.state) if call.lengths is None else forward(x, call.state, lengths=call.lengths)
    )
    return Result(output.swapaxes(0, 1) if first else output, h_n, c_n)


def expected(call: Call) -> Result:
    """What the oracle returns."""
    output, state = lstm(replace(call.config, batch_first=False), call.params, call.x, call.state, call.lengths)
    return Result(output, *state)


def _close(actual: Any, wanted: Any) -> None:
    np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


def _all_close(actual: Result, wanted: Result) -> None:
    for part, want in zip(actual, wanted, strict=True):
        _close(part, want)


# The tests


def output(build: Build, call: Call) -> None:
    """The output is the oracle's."""
    _close(run(build, call).output, expected(call).output)


def h_n(build: Build, call: Call) -> None:
    """h_n is the oracle's."""
    _close(run(build, call).h_n, expected(call).h_n)


def c_n(build: Build, call: Call) -> None:
    """c_n is the oracle's."""
    _close(run(build, call).c_n, expected(call).c_n)


def batch_first(build: Build, call: Call) -> None:
    """batch_first swaps two axes, and nothing else."""
    _all_close(run(build, call), run(build, call._replace(config=replace(call.config, batch_first=False))))


def permutation(build: Build, call: Call) -> None:
    """Permuting the rows permutes the results."""
    state = None if call.state is None else (call.state[0][:, ::-1].copy(), call.state[1][:, ::-1].copy())
    turned = run(build, call._replace(x=call.x[:, ::-1].copy(), state=state))
    _all_close(Result(*(part[:, ::-1] for part in turned if part is not None)), run(build, call))


def stepwise(build: Build, call: Call) -> None:
    """One call equals one call per step with the state carried along."""
    outputs, state = list[Array](), call.state
    for x in call.x:
        output, h_n, c_n = run(build, call._replace(x=x[None], state=state))
        assert output is not None
        assert h_n is not None
        assert c_n is not None
        outputs.append(output)
        state = h_n, c_n
    assert state is not None
    _all_close(run(build, call), Result(np.concatenate(outputs), *state))


def none_is_zeros(build: Build, call: Call) -> None:
    """No initial state means zeros."""
    h_shape, c_shape = state_shapes(call.config, call.x.shape[1])
    zeros = np.zeros(h_shape, np.float32), np.zeros(c_shape, np.float32)
    _all_close(run(build, call._replace(state=None)), run(build, call._replace(state=zeros)))


def reversal(build: Build, call: Call) -> None:
    """The backward half of a bidirectional layer is the forward LSTM on the reversed sequence."""
    params = {f"{name}_l0": value for name, value in layer_params(call.params, Slot(0, 1)).items()}
    config = replace(call.config, bidirectional=False)
    state = None if call.state is None else (call.state[0][1:], call.state[1][1:])
    alone = run(build, Call(config, params, call.x[::-1].copy(), state))
    output, h_n, c_n = run(build, call)
    assert output is not None
    assert h_n is not None
    assert c_n is not None
    assert alone.output is not None
    _all_close(Result(output[..., config.hidden_size :], h_n[1:], c_n[1:]), alone._replace(output=alone.output[::-1]))


def composition(build: Build, call: Call) -> None:
    """A stack equals its layers chained as models of one layer."""
    below, finals, D = call.x, list[Result](), call.config.num_directions
    for layer in range(call.config.num_layers):
        config = replace(call.config, num_layers=1, input_size=call.config.layer_input_size(layer))
        params = {
            name + Slot(0, slot.direction).suffix: value
            for slot in call.config.slots(layer)
            for name, value in layer_params(call.params, slot).items()
        }
        at = slice(layer * D, (layer + 1) * D)
        state = None if call.state is None else (call.state[0][at], call.state[1][at])
        finals.append(run(build, Call(config, params, below, state)))
        output = finals[-1].output
        assert output is not None
        below = output
    h_n, c_n = (np.concatenate([getattr(result, name) for result in finals]) for name in ("h_n", "c_n"))
    _all_close(run(build, call), Result(below, h_n, c_n))


def row_alone(build: Build, call: Call) -> None:
    """A row in a padded batch gives what it gives alone, cut to its own length."""
    assert call.lengths is not None
    output, h_n, c_n = run(build, call)
    assert output is not None
    assert h_n is not None
    assert c_n is not None
    for row, length in enumerate(call.lengths):
        one = slice(row, row + 1)
        state = None if call.state is None else (call.state[0][:, one], call.state[1][:, one])
        alone = run(build, call._replace(x=call.x[:length, one], state=state, lengths=None))
        _all_close(Result(output[:length, one], h_n[:, one], c_n[:, one]), alone)


#: By the id of the suite's property: the test, and how its calls are drawn.
TESTS: dict[str, tuple[Callable[[Build, Call], None], st.SearchStrategy[Call]]] = {
    "values.output": (output, calls()),
    "values.h_n": (h_n, calls()),
    "values.c_n": (c_n, calls()),
    "layout.batch-first": (batch_first, calls(batch_first=True)),
    "batch.permutation": (permutation, calls()),
    "sequence.stepwise": (stepwise, calls(bidirectional=False)),
    "state.none-is-zeros": (none_is_zeros, calls()),
    "direction.reversal": (reversal, calls(bidirectional=True, num_layers=1)),
    "stack.composition": (composition, calls(num_layers=2)),
    "lengths.row-alone": (row_alone, calls(ragged=True)),
}


def test(name: str, build: Build, examples: int, entropy: int, met: Callable[[Call, Exception | None], None]) -> None:
    """Run one test on so many examples; each is told when its check has ended, with what it raised."""
    check, drawn = TESTS[name]

    # As a project has them, but for what depends on the machine or on earlier runs.
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @seed(entropy)
    @given(drawn)
    def tried(call: Call) -> None:
        try:
            check(build, call)
        except Exception as error:
            met(call, error)
            raise
        met(call, None)

    tried()
