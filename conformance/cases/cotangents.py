"""Cotangents, which a vjp is given beside the call: the gradient of a loss by each part of the result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from conformance.cases.case import Case, arrange
from conformance.cases.fills import normal, pick, uniform
from conformance.reference.forward import leave
from conformance.spec import Array, state_shapes

#: What a loss looks at: any of the three parts, each drawn by itself; all of them; one alone; "last", each row's last
#: output alone, as a classifier does; "partial", all but the output of one row and of the later half of the steps.
LOSSES = ("any", "all", "output", "h_n", "c_n", "last", "partial")


class Cotangents(NamedTuple):
    """Canonical: output (L, N, D·P), h_n (layers·D, N, P), c_n (layers·D, N, H), in the dtype of the case."""

    output: Array
    h_n: Array
    c_n: Array

    def scaled(self, factor: float) -> Cotangents:
        """Each times a factor."""
        return Cotangents(*(part * part.dtype.type(factor) for part in self))


def shapes(case: Case) -> Cotangents:
    """The shapes (as tuples)."""
    config = case.config
    h_n, c_n = state_shapes(config, case.batch)
    return Cotangents((case.steps, case.batch, config.num_directions * config.output_size), h_n, c_n)  # type: ignore[arg-type]


def zeros(case: Case) -> Cotangents:
    """A loss that depends on nothing."""
    return Cotangents(*(np.zeros(shape, case.x.dtype) for shape in shapes(case)))  # type: ignore[arg-type]


def draw(case: Case, seed: int, loss: str = "any", parts: tuple[str, ...] = Cotangents._fields) -> Cotangents:
    """Nearly normal values, each part at a scale of its own from 1e-6 to 1e2; nothing past a row's length.

    Of ``parts``, which the backend returns, a loss on "any" drops each with a probability of one in four, but never
    all. "last" is such a loss where no output is returned, and "partial" where a single part is.
    """
    if (loss == "last" and "output" not in parts) or (loss == "partial" and len(parts) == 1):
        loss = "any"
    kept = [
        name for name in parts if loss in ("all", "partial", name) or (loss == "any" and pick(seed, f"loss {name}", 4))
    ]
    kept = ["output"] if loss == "last" else kept or [parts[pick(seed, "loss", len(parts))]]
    drawn = []
    for name, shape in zip(Cotangents._fields, shapes(case), strict=True):
        scale = 10.0 ** (8 * float(uniform(seed, f"scale {name}", (1,))[0]) - 6) * (name in kept)
        drawn.append((scale * normal(seed, f"cotangent {name}", shape)).astype(case.x.dtype))  # type: ignore[arg-type]
    cotangents = within(case, Cotangents(*drawn))
    if loss == "last":
        cotangents.output[np.arange(case.steps)[:, None] != case.row_lengths() - 1] = 0
    if loss == "partial":
        cotangents.output[:, pick(seed, "row left out", case.batch)] = 0
        cotangents.output[(case.steps + 1) // 2 :] = 0
    return cotangents


def within(case: Case, cotangents: Cotangents) -> Cotangents:
    """The same, zero past a row's length."""
    return cotangents._replace(output=np.where(case.valid, cotangents.output, cotangents.output.dtype.type(0)))


def handed(case: Case, cotangents: Cotangents) -> tuple[Array, Array, Array]:
    """Fresh arrays of one call: in the config's layout and the case's memory order."""
    output, *finals = cotangents
    if case.unbatched:
        finals = [part[:, 0] for part in finals]
    given = leave(case.config, output, case.unbatched), *finals
    output, h_n, c_n = (arrange(part, case.view) for part in given)
    return output, h_n, c_n
