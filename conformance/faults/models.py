"""Faults of parameters: those that one model leaves to another, and what becomes of them when many models are built."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from conformance.faults.fault import STALE, Fault
from conformance.faults.twin import Forward, Twin
from conformance.spec import LSTMConfig, Params


def table(places: int) -> Twin:
    """The parameters of all models of a config lie in a table of so many places, filled in turn."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        built = twin.shared.setdefault(config, [])
        mine = len(built)
        built.append(params)

        def call(*args: Any, **more: Any) -> Any:
            latest = max(range(mine, len(built), places))
            return Twin().build(config, built[latest])(*args, **more)

        return call

    return Twin(around=around)


def cached(key: Callable[[LSTMConfig, Params], Hashable], *names: str) -> Twin:
    """Packed parameters are kept for all models by a key; those of ``names`` alone, if any are given."""

    def pack(twin: Twin, config: LSTMConfig, params: Params) -> Params:
        packed = twin.shared.setdefault((config, key(config, params)), {k: v.copy() for k, v in params.items()})
        return {name: packed[name] if name.startswith(names or "") else value for name, value in params.items()}

    return Twin(pack=pack)


def _bytes_of(name: str) -> Callable[[LSTMConfig, Params], Hashable]:
    return lambda config, params: params[name].tobytes()


def _beginning(config: LSTMConfig, params: Params) -> bytes:
    return b"".join(value.reshape(-1)[: max(value.size - 2, 1)].tobytes() for value in params.values())


FAULTS = (
    Fault("stale-by-config", "Packed parameters are kept for each config.", "pytorch#65688", "a second model", STALE,
        cached(lambda config, params: None)),
    Fault("stale-projection", "Projections are kept for each config.", "pytorch#74953",
        "a second model with projection", STALE, cached(lambda config, params: None, "weight_hr")),
    Fault("stale-by-first-weights", "Packed parameters are kept for each first layer's weight_ih.", "pytorch#65688",
        "a second model with the same first weights", STALE, cached(_bytes_of("weight_ih_l0"))),
    Fault("stale-by-all-but-top", "Packed parameters are kept for each config and first layer.", "pytorch#65688",
        "layers > 1, a second model with the same first layer", STALE,
        cached(lambda config, params: b"".join(v.tobytes() for k, v in sorted(params.items()) if k.endswith("_l0")))),
    Fault("latest-model-runs", "The model built last runs in place of all of the same config.", "global workspaces",
        "two models in turn", STALE, table(1)),
    Fault("one-of-sixteen-places", "The seventeenth model of a config takes the first one's place.",
        "tables of handles", "seventeen models of one config", STALE, table(16)),
    Fault("packed-by-first-weights", "Parameters are packed once for models that begin alike.", "ideep#158",
        "two models that differ in the last elements of their weights", STALE, cached(_beginning)),
)  # fmt: skip
