"""The conventions of other frameworks, each as a fault."""

from __future__ import annotations

from conformance.conventions import CONVENTIONS
from conformance.faults.fault import Fault
from conformance.faults.twin import Twin

FAULTS = tuple(
    Fault(c.id, c.description, c.stands_for, c.shows_when, c.kind, Twin(transform=c.transform)) for c in CONVENTIONS
)
