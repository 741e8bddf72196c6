"""Families of alterations of the backward pass, of which the catalogue has only some members."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.faults.families.gradients import layers, steps, tensors
from conformance.faults.families.gradients.tensors import SCOPED_FIRST
from conformance.faults.fault import Fault


def families() -> Iterator[Fault]:
    """All of them, the simplest first."""
    yield from layers.families()
    yield from steps.families()
    yield from tensors.families()


__all__ = ["SCOPED_FIRST", "families"]
