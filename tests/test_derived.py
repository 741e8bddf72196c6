"""Derived trials carry the edits of a recipe or are refused, and arrays of two models are never mixed in silence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from conformance import instruments, properties
from conformance.cases.case import realise
from conformance.cases.recipe import SHAPING, Recipe, parse
from conformance.engine.judging import Here, Inquiry, check
from conformance.errors import SuiteError
from conformance.properties import catalogue
from conformance.properties.model import Property, always
from conformance.targets.find import find
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial

#: Recipes as the simplifier leaves them: a deletion of each kind, and changes of values, in various structures.
EDITED = (
    "I=3 H=2 L=2 N=3 state=both edits=-u0",
    "I=3 H=2 L=2 N=3 state=both edits=-i0",
    "I=2 H=3 layers=2 bidirectional L=3 N=2 state=both ragged edits=-t0,-n1,-u2,1:weight_hh_l1,0:c_0",
    "I=3 H=4 layers=2 batch-first proj=2 L=3 N=2 ragged state=h edits=-u1,r:weight_ih_l0,0:x[0:4],-i2",
    "I=2 H=3 no-bias unbatched L=3 N=1 state=c fill=ramp edits=-t2,0:weight_ih_l0[0:6],1:x",
)


@pytest.mark.parametrize("text", EDITED)
@pytest.mark.parametrize("name", ["numpy", "torch-nn"])
def test_no_property_accuses_an_edited_case(name: str, text: str) -> None:
    recipe, judge = parse(text), Here(find(name))
    inquiries = [Inquiry(p, turn) for p in catalogue().values() if p.when(recipe) for turn in range(min(p.turns, 3))]
    answers = [(inquiry.property.id, inquiry.turn, answer) for inquiry, answer in judge.ask(recipe, inquiries)]
    assert [(id, turn, answer.fact) for id, turn, answer in answers if answer.wrong] == []
    assert len([answer for *_, answer in answers if answer.outcome is not None]) > 40


def test_edits_are_carried_while_every_tensor_keeps_its_shape() -> None:
    trial = Trial(find("numpy"), parse("I=3 H=4 L=3 N=2 state=both edits=-u0,0:c_0"))
    derived = trial.derived(seed=5, fill="ramp", gain=2.0, view="strided", dtype="float64", ragged=True, L=3)
    assert derived.recipe.edits == trial.recipe.edits
    assert derived.case.config.hidden_size == 3
    for name in SHAPING:
        changed = {"bidirectional": True, "bias": False}.get(name, 2 if name != "N" else 1)
        if changed != getattr(trial.recipe, name):
            with pytest.raises(Discard):
                trial.derived(**{name: changed})
    # The edited state would not be given.
    with pytest.raises(Discard):
        trial.derived(state="none")
    with pytest.raises(Discard):
        trial.resized()
    with pytest.raises(SuiteError, match="has the edits"):
        trial.derived(edits=())


def test_properties_and_instruments_make_no_trial_but_by_deriving_it() -> None:
    folders = [Path(package.__file__ or "").parent for package in (properties, instruments)]
    for source in [path for folder in folders for path in folder.rglob("*.py")]:
        assert not re.search(r"\bTrial\(|edits=", source.read_text(encoding="utf-8")), source


@pytest.mark.parametrize(
    "text", ["I=4 H=2 L=2 N=2 state=both", "I=3 H=3 L=2 N=2 state=both", "I=3 H=2 layers=2 L=2 N=2 state=both"]
)
def test_arrays_of_another_model_are_a_defect_of_the_suite(text: str) -> None:
    case, other = (realise(parse(one)) for one in ("I=3 H=2 L=2 N=2 state=both", text))
    with pytest.raises(SuiteError, match="parameters"):
        replace(case, params=other.params)
    with pytest.raises(SuiteError):
        replace(case, x=other.x, state=other.state, lengths=case.row_lengths()[:1])
    with pytest.raises(SuiteError, match="parameters"):
        Trial(find("numpy"), parse("I=3 H=2 L=2 N=2")).model(case, dict(other.params))


def test_a_property_that_mixes_two_models_gets_no_answer() -> None:
    def mixes(trial: Trial) -> None:
        trial.run(replace(trial.case, params=trial.derived(H=3).case.params))

    mixing = Property("values.mixes", "It mixes.", "", (), always, 1, 0, False, 1, "", mixes)
    with pytest.raises(SuiteError):
        check(Inquiry(mixing), Trial(find("numpy"), Recipe(I=3, H=2, L=2, N=2)))
