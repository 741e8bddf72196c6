"""Models' files among the targets of a run: each stands for every LSTM in it, in every runtime that is installed."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.drivers.target import Isolation
from conformance.errors import UsageError
from conformance.facts.weights import WeightsCompared
from conformance.isolation.holding import listed
from conformance.targets import exported


def expanded(
    targets: Sequence[str], weights: str, isolation: Isolation | None
) -> tuple[list[str], list[WeightsCompared]]:
    """The targets, those of a model's file in its place; and how its weights compare with those in ``weights``.

    Files are read where their LSTMs will run: in a child process, unless there is no ``isolation``. Raises
    ``UsageError`` for a file that cannot be read, and for weights that no file is compared with.
    """
    found: list[str] = []
    told: list[WeightsCompared] = []
    files = [target for target in targets if exported.parse(target)]
    if weights and not files:
        raise UsageError(
            f"--weights {weights}: no target is a model's file",
            f"those end in {', '.join(f'.{ending}' for ending in exported.endings())}",
        )
    for target in targets:
        if target not in files:
            found.append(target)
            continue
        if isolation is None:
            own, compared = exported.expand(target, weights)
        else:
            own, compared = listed(target, weights, isolation.limits, isolation.python(target))
        found += own
        told += compared
    return found, told
