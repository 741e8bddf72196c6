"""Why the mutants that survive are equivalent to the original: (subject, mutant) as ``benchmarks.mutants`` has it."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str], str] = {}
