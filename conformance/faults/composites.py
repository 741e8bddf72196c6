"""Correct but different in several ways at once, and all that differ."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from conformance.faults.backward import Differentiable
from conformance.faults.different import SINGLE, Different

#: The pieces that nobody altered.
_TWIN = Differentiable()


def composite(*parts: Different) -> Different:
    """A correct LSTM that differs in all of these ways at once; no two of them may alter the same piece."""
    pieces: dict[str, Any] = {}
    for part in parts:
        altered = {
            field.name: getattr(part.twin, field.name)
            for field in fields(part.twin)
            if field.name != "shared" and getattr(part.twin, field.name) is not getattr(_TWIN, field.name)
        }
        if both := pieces.keys() & altered:
            raise ValueError(f"{part.id} alters what another part does: {', '.join(sorted(both))}")
        pieces |= altered
    description = " ".join(part.description for part in parts)
    return Different("+".join(part.id for part in parts), description, Differentiable(**pieces))


_BY_ID = {different.id: different for different in SINGLE}


def _composed(*ids: str) -> Different:
    return composite(*(_BY_ID[id] for id in ids))


DIFFERENT = (
    *SINGLE,
    _composed("laned-sums", "sigmoid-by-tanh", "tanh-by-exponential", "biases-last"),
    _composed("wide-blocked-sums", "tanh-by-sigmoid", "hoisted-input-projection"),
    _composed("reversed-sums", "activations-3-ulps-off", "fused-cell"),
    _composed("one-product", "flush-to-zero", "gradient-flush-to-zero"),
    _composed("pairwise-sums", "gradient-from-preactivations"),
    _composed("laned-sums", "activations-5-ulps-near", "biases-last"),
    _composed("wide-blocked-sums", "tanh-by-sigmoid-5-ulps-off", "hoisted-input-projection"),
    _composed("reversed-sums", "activations-5-ulps", "fused-cell"),
    _composed("one-product", "activations-5-ulps-far", "flush-to-zero", "gradient-flush-to-zero"),
    _composed("pairwise-sums", "activations-5-ulps-in-turn", "gradient-from-preactivations"),
)
