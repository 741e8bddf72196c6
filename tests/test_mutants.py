"""The mutants of implementations: what is changed, and that the reasons for survivors are of mutants that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.mutants import SUBJECTS, Subject, mutants, of_python
from benchmarks.mutants_equivalent import EQUIVALENT


@pytest.mark.parametrize("subject", [s for s in SUBJECTS.values() if s.source.endswith(".py")], ids=lambda s: s.source)
def test_every_mutant_of_python_is_another_module(subject: Subject) -> None:
    source = Path(subject.source).read_text(encoding="utf-8")
    made = [mutant.applied(source) for mutant in mutants(subject, source).values()]
    assert made
    assert source not in made
    for changed in made[::20]:
        ast.parse(changed)


def test_only_what_does_something_is_changed() -> None:
    source = '@cache(1)\ndef f(x: Literal[2] = 3) -> Literal[4]:\n    """Five 5."""\n    return g(x - 6, y=7)\n'
    changed = {mutant.applied(source).splitlines()[3].strip() for mutant in of_python(source)} - {
        source.splitlines()[3].strip()
    }
    assert changed == {
        "return g(((x) + (6)), y=7)",
        "return g(x - (6 + 1), y=7)",
        "return g(x - (6 - 1), y=7)",
        "return g(x - 6, y=(7 + 1))",
        "return g(x - 6, y=(7 - 1))",
        "return g(x - 6)",
        "return (x - 6)",
    }
    assert all(
        "Five 5" in mutant.applied(source) and "cache(1)" in mutant.applied(source) for mutant in of_python(source)
    )


def test_every_reason_is_of_a_mutant_that_there_is() -> None:
    known = {
        (name, key)
        for name, subject in SUBJECTS.items()
        for key in mutants(subject, Path(subject.source).read_text(encoding="utf-8"))
    }
    assert [mutant for mutant in EQUIVALENT if mutant not in known] == []
