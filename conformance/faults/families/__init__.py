"""Families of alterations that the diagnosis searches beside the catalogue; the self-test does not try them.

A family is a choice that an implementation makes, such as the order of the gates, in all the ways that are wrong.
"""

from __future__ import annotations

from functools import lru_cache

from conformance.faults.catalogue import FAULTS
from conformance.faults.families import gradients, lengths, steps
from conformance.faults.families.steps import SCOPED_ONLY
from conformance.faults.fault import Fault


@lru_cache(maxsize=1)
def known() -> dict[str, Fault]:
    """Every fault that a cause may name, by its id: the catalogue, then the families."""
    members = {fault.id: fault for fault in (*steps.families(), *lengths.families(), *gradients.families())}
    return {**members, **FAULTS}


__all__ = ["SCOPED_ONLY", "known"]
