"""The Triton example: why it cannot run here; interpreted and on a GPU, that it is right and that its bug is found."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator

import pytest
from backends import accused
from programs import ROOT, python

from conformance.engine.plan import Settings
from conformance.targets.find import find

torch = pytest.importorskip("torch")

TARGET = "implementations/triton_lstm/triton_lstm.py"
installed = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

#: Rows, features and units within a block of 16, on its border and past it.
WITHIN, BORDER, PAST = "I=3 H=5 L=2 N=2", "I=16 H=16 L=3 N=2 state=both", "I=17 H=18 L=2 N=17 state=both no-bias"
FIRST_STEP = "I=3 H=5 L=1 N=2"

JUDGE = """
import json, sys
from conformance.engine.judging import Here, Inquiry
from conformance.properties import select
from conformance.engine.plan import Settings, plan
from conformance.cases.recipe import parse
from conformance.targets.find import find
found = {}
for name in ("triton", "triton_buggy"):
    backend = find(f"implementations/triton_lstm/triton_lstm.py:{name}")
    assert backend.available() is None
    assert backend.remark().endswith("; its interpreter")
    asked = plan(backend, Settings(only=("values", "layout", "sequence.stepwise", "degenerate"))).asked
    for text in sys.argv[1:]:
        recipe = parse(text)
        said = Here(backend).ask(recipe, [Inquiry(p) for p in asked if p.when(recipe)])
        found[f"{backend.build.__module__} {name} {text}"] = {p.id: answer.outcome for p, answer in said}
print(json.dumps(list(found.values())))
"""


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    yield
    sys.modules.pop("triton_lstm", None)


@pytest.mark.parametrize("name", ["triton", "triton_buggy"])
def test_the_reason_is_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    backend = find(f"{TARGET}:{name}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert backend.available() == "triton is not installed"
    assert backend.remark() == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    reason = f"no CUDA device (torch {torch.__version__}); TRITON_INTERPRET=1 runs the kernel on the CPU"
    assert backend.available() == reason


@installed
def test_the_kernel_is_right_and_its_bug_is_found() -> None:
    recipes = [WITHIN, BORDER, PAST, FIRST_STEP]
    answers = json.loads(python(JUDGE, *recipes, TRITON_INTERPRET="1"))
    right, buggy = (dict(zip(recipes, part, strict=True)) for part in (answers[:4], answers[4:]))
    assert all(set(said.values()) <= {"passed", "silent"} for said in right.values())
    assert all(said["values.output"] == "passed" for said in right.values())
    # Whole blocks hide the bug, and so does a first step from zeros.
    outputs = {text: said["values.output"] for text, said in buggy.items()}
    assert outputs == {WITHIN: "failed", BORDER: "passed", PAST: "failed", FIRST_STEP: "passed"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason=f"no CUDA device (torch {torch.__version__})")
@installed
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
def test_on_a_gpu_it_is_right_and_its_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert accused(find(f"{TARGET}:triton"), Settings(20)) == {}
    assert accused(find(f"{TARGET}:triton_buggy"), Settings(20, only=("values.output",)))
