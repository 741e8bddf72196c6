"""Occasions: the options of a model or a call with which alone an alteration holds.

Code often has a path of its own for an option, and a mistake in one path alone is right elsewhere: h_0 and c_0 change
places where there are two directions, c_n is h_n where lengths are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conformance.diagnosis.scopes import Part, Scope, combined
from conformance.faults.twin import Forward, Twin
from conformance.spec import Array, LSTMConfig, Params, State


@dataclass(frozen=True)
class Occasion:
    """When something holds: ``holds(config, x, state, lengths)``, and the same as an expression of these names."""

    holds: Callable[[LSTMConfig, Array, State | None, Array | None], bool]
    code: str
    #: Whether the config alone decides it.
    of_config: bool = False


def _shape(config: LSTMConfig, x: Array) -> tuple[int, int]:
    """L and N."""
    if x.ndim == 2:
        return len(x), 1
    return (x.shape[1], x.shape[0]) if config.batch_first else (x.shape[0], x.shape[1])


#: By their names, which are scopes.
OCCASIONS: dict[str, Occasion] = {
    "two-directions": Occasion(lambda config, x, state, lengths: config.bidirectional, "config.bidirectional", True),
    "one-direction": Occasion(
        lambda config, x, state, lengths: not config.bidirectional, "not config.bidirectional", True
    ),
    "several-layers": Occasion(lambda config, x, state, lengths: config.num_layers > 1, "config.num_layers > 1", True),
    "one-layer": Occasion(lambda config, x, state, lengths: config.num_layers == 1, "config.num_layers == 1", True),
    "batch-first": Occasion(
        lambda config, x, state, lengths: config.batch_first and x.ndim == 3, "config.batch_first and x.ndim == 3"
    ),
    "time-major": Occasion(
        lambda config, x, state, lengths: not config.batch_first and x.ndim == 3,
        "not config.batch_first and x.ndim == 3",
    ),
    "unbatched": Occasion(lambda config, x, state, lengths: x.ndim == 2, "x.ndim == 2"),
    "with-state": Occasion(lambda config, x, state, lengths: state is not None, "state is not None"),
    "without-state": Occasion(lambda config, x, state, lengths: state is None, "state is None"),
    "with-lengths": Occasion(lambda config, x, state, lengths: lengths is not None, "lengths is not None"),
    "without-lengths": Occasion(lambda config, x, state, lengths: lengths is None, "lengths is None"),
    "several-steps": Occasion(
        lambda config, x, state, lengths: _shape(config, x)[0] > 1, "x.shape[x.ndim == 3 and config.batch_first] > 1"
    ),
    "several-rows": Occasion(
        lambda config, x, state, lengths: _shape(config, x)[1] > 1,
        "x.ndim == 3 and x.shape[not config.batch_first] > 1",
    ),
}


def occasions_of(scope: Scope) -> list[Scope]:
    """The scope on one occasion more, of two at most."""
    chosen = [name for name in scope if name in OCCASIONS]
    return [(*scope, name) for name in OCCASIONS if name not in scope] if len(chosen) < 2 else []


def on_occasion(parts: Sequence[Part]) -> Twin | None:
    """One LSTM whose alterations hold on their occasions alone; None if they do not go together."""
    plain = [Part(part.twin, tuple(name for name in part.scope if name not in OCCASIONS)) for part in parts]
    if combined(plain) is None:
        return None

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        built: dict[tuple[bool, ...], Forward] = {}

        def chosen(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            key = tuple(
                all(OCCASIONS[name].holds(config, x, state, lengths) for name in part.scope if name in OCCASIONS)
                for part in parts
            )
            if key not in built:
                altered = combined([one for one, on in zip(plain, key, strict=True) if on])
                assert altered is not None, "parts of what goes together go together"
                built[key] = altered.build(config, params)
            return built[key](x, state, lengths)

        return chosen

    return Twin(around=around)
