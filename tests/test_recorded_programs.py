"""A program in JavaScript answers a recording from a file to a file; its mistake is found from the answers alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from programs import ROOT
from recorded_programs import answers_of

from conformance.backend import Capabilities
from conformance.diagnosis.diagnose import diagnose
from conformance.facts import Degree

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript: there is no node on the PATH")

PROGRAM = str(ROOT / "tests/plain_lstm.mjs")
FLOAT64 = Capabilities(dtypes=("float64",))


def test_a_right_program_is_conformant(tmp_path: Path) -> None:
    judged = answers_of(["node", PROGRAM], tmp_path, FLOAT64)
    assert judged.report.conformant
    assert judged.report.own_name == "plain-js"


def test_the_order_of_its_gates_is_named(tmp_path: Path) -> None:
    judged = answers_of(["node", PROGRAM, "gates"], tmp_path, FLOAT64)
    assert not judged.report.conformant
    [cause] = diagnose(judged.judge, judged.report).causes
    assert (cause.degree, cause.alterations[0].fault) == (Degree.CONFIRMED, "gate-order-igfo")
