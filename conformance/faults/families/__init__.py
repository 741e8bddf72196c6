"""Families of alterations that the diagnosis searches beside the catalogue; the self-test does not try them.

A family is a choice that an implementation makes, such as the order of the gates, in all the ways that are wrong.
"""

from __future__ import annotations

from functools import lru_cache

from conformance.faults.catalogue import FAULTS
from conformance.faults.families import gradients, histories, lengths, steps, wiring
from conformance.faults.families.steps import SCOPED_ONLY
from conformance.faults.families.wiring import COPIED_ROWS, OTHER_WEIGHTS
from conformance.faults.fault import Fault


@lru_cache(maxsize=1)
def known() -> dict[str, Fault]:
    """Every fault that a cause may name, by its id: the catalogue, then the families."""
    several = (*steps.families(), *wiring.families(), *lengths.families(), *histories.families())
    several = (*several, *gradients.families())
    members = {fault.id: fault for fault in several}
    return {**members, **FAULTS}


__all__ = ["COPIED_ROWS", "OTHER_WEIGHTS", "SCOPED_ONLY", "known"]
