"""Libraries as they are: nothing that is not declared is asked, and what is declared is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backends import accused, by_property

from conformance.backend import ARITHMETICS, GRADIENTS, Backend, Capabilities
from conformance.cases.case import realise
from conformance.cases.recipe import OPTIONS, parse
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.processes.wire.fields import capabilities_from_fields, capabilities_to_fields
from conformance.properties import catalogue
from conformance.properties.model import needs_of
from conformance.spec import LSTMConfig, Params
from conformance.targets.find import find
from conformance.targets.probe import abilities, probed

#: Not the many units and steps, which take long and add nothing here.
SMALL = Settings(cases=6, exclude=("sizes", "gradients.large", "gradients.sweep", "gradients.sums", "gradients.long"))


def batch_first_only(build: Any, refuses: bool = True) -> Callable[..., Any]:
    """A library that knows batch-first only: it refuses other models, or takes all for batch-first ones."""

    def built(config: LSTMConfig, params: Params) -> Any:
        if refuses:
            assert config.batch_first, "a time-major model was asked for"
        return build(replace(config, batch_first=True), params)

    return built


@pytest.mark.usefixtures("few_rows")
def test_without_time_major_calls_all_else_is_asked_and_right() -> None:
    everything: dict[str, Any] = dict.fromkeys((*OPTIONS, "gradients"), True)
    declared = Capabilities(**everything, time_major=False, dtypes=("float32", "float64"))
    backend = Backend("batch-first", declared, batch_first_only(find("numpy").build))
    report = conform(backend, replace(SMALL, shrink=False))
    others = {v.property: v.message for v in report.verdicts if v.outcome != "passed"}
    dropout = {p.id for p in catalogue().values() if "dropout" in p.needs}
    assert others.keys() - dropout == {"layout.batch-first"}
    assert others["layout.batch-first"] == "time_major is not declared"


def test_a_failure_without_time_major_calls_is_shrunk_within_them() -> None:
    def build(config: LSTMConfig, params: Params) -> Any:
        forward = batch_first_only(find("numpy").build)(config, params)

        def wrong(x: Any, *state: Any) -> Any:
            output, finals = forward(x, *state)
            return output + 1, finals

        return wrong

    declared = Capabilities(batch_first=True, unbatched=True, time_major=False)
    report = conform(Backend("wrong", declared, build), Settings(cases=5, only=("values.output",)))
    assert "batch-first" in str(report.verdicts[0].recipe).split()


@pytest.mark.parametrize("refuses", [True, False])
def test_a_function_that_is_batch_first_only_is_probed_as_such(refuses: bool) -> None:
    """One that ignores batch_first runs time-major as well: its final states then have another shape."""
    found = probed("batch-first", batch_first_only(find("numpy").build, refuses))
    assert found.capabilities.batch_first
    assert not found.capabilities.time_major
    assert found.capabilities.batch
    declared = {a.option for a in abilities(found)}
    assert "time_major" not in declared


GIVEN = [("x",), ("params",), ("x", "params"), ("h_0", "c_0")]


def giving(given: tuple[str, ...], declared: Any, spoil: str = "") -> Backend:
    """NumPy's LSTM, whose vjp gives some gradients, one of them wrong in a single element by 1 %."""
    right = find("numpy")

    def build(config: LSTMConfig, params: Params) -> Any:
        forward: Any = right.build(config, params)

        wrapped: Any = partial(forward)

        def vjp(*args: Any) -> Any:
            result, grads = forward.vjp(*args)
            kept = {name: v for name, v in grads.items() if (name if name in GRADIENTS else "params") in given}
            if spoil in kept and kept[spoil].size:
                kept[spoil].reshape(-1)[0] *= 1.01
            return result, kept

        wrapped.vjp = vjp
        return wrapped

    wide = Capabilities(layers=True, bidirectional=True, dtypes=("float32", "float64"), gradients=declared)
    return Backend("giving", wide, build)


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("given", GIVEN)
def test_only_the_gradients_that_are_named_are_asked(given: tuple[str, ...]) -> None:
    report = conform(giving(given, given), replace(SMALL, only=("smoke", "gradients"), shrink=False))
    met = needs_of(giving(given, given))
    # Its models have none of the methods that are optional.
    optional = ("gradients.load", "gradients.train")
    for verdict in report.verdicts:
        asked = verdict.property not in optional
        asked = asked and all(met[word] for word in catalogue()[verdict.property].needs)
        assert verdict.outcome == ("passed" if asked else "not declared"), (verdict.property, verdict.message)
    named = {v.property for v in report.verdicts if v.outcome == "passed"}
    assert ("gradients.input" in named) == ("gradients.preactivations" in named) == ("x" in given)
    assert ("gradients.weights" in named) == ("params" in given)


@pytest.mark.parametrize(
    ("given", "spoil"), [(("x",), "x"), (("params",), "weight_hh_l0"), (("h_0", "c_0"), "c_0"), (("h_0", "c_0"), "h_0")]
)
def test_a_named_gradient_that_is_wrong_is_found_without_the_others(given: tuple[str, ...], spoil: str) -> None:
    found = accused(giving(given, given, spoil), replace(SMALL, only=("gradients.untapped", "gradients.dyadic")))
    assert found.keys() == {"gradients.untapped", "gradients.dyadic"}


def test_a_named_gradient_that_is_missing_is_a_violation_and_one_more_is_none() -> None:
    chosen = replace(SMALL, only=("gradients.layout", "gradients.untapped"))
    missing = accused(giving(("x",), ("x", "params")), chosen)
    assert missing["gradients.layout"] == "grads has no 'weight_ih_l0'"
    assert not accused(giving(GRADIENTS, ("x",), "weight_ih_l0"), chosen)


def test_the_probe_names_the_gradients_that_it_found() -> None:
    for given in GIVEN:
        assert probed("giving", giving(given, True).build).capabilities.gradients == given
    assert probed("giving", giving(GRADIENTS, True).build).capabilities.gradients is True


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"gradients": "x"}, "gradients must be a tuple of words, got the string 'x'"),
        ({"gradients": ("weights",)}, "gradients names 'weights'; the known words are x, h_0, c_0, params"),
        ({"gradients": ()}, "gradients is empty"),
        ({"time_major": False}, "time_major is False: then batch_first must be declared"),
        (
            {"time_major": False, "batch_first": True, "fixed": (LSTMConfig(2, 3), {})},
            "time_major is False, but the config of Capabilities.fixed is time-major",
        ),
        ({"arithmetic": {"float32": "bfloat16"}}, "arithmetic names 'bfloat16'; the known words are ieee"),
    ],
)
def test_a_declaration_that_cannot_be_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Capabilities(**wrong)


def test_the_page_on_backends_names_every_declaration() -> None:
    page = (Path(__file__).parents[1] / "docs/backends.md").read_text()
    rows = {line.split("`")[1].partition("=")[0]: line for line in page.splitlines() if line.startswith("| `")}
    for field in fields(Capabilities):
        assert rows[field.name].count("|") == 4, field.name
    assert all(f'"{word}"' in rows["arithmetic"] for word in ARITHMETICS if word != "ieee")
    assert all(f'"{name}"' in rows["gradients"] for name in GRADIENTS)


@pytest.mark.parametrize("gradients", [True, False, ("x",), ("x", "params")])
def test_declarations_travel_as_fields(gradients: Any) -> None:
    declared = Capabilities(batch_first=True, time_major=False, gradients=gradients, compiled=True)
    assert capabilities_from_fields(capabilities_to_fields(declared), {}) == declared


@pytest.mark.parametrize(("kind", "outcome"), [((), "unexpected pass"), (("unexpected",), "passed")])
def test_an_expected_failure_of_a_fixed_model_must_show_unless_it_is_its_runtimes(
    kind: tuple[str, ...], outcome: str
) -> None:
    config, right = LSTMConfig(2, 3), find("numpy")
    params = realise(parse("I=2 H=3 L=2 N=1")).params
    declared = Capabilities(fixed=(config, params), expected_failures={"values.output": "https://example.com/1"})
    baked = replace(
        right, capabilities=declared, build=lambda *_: right.build(config, params), ruled_out=frozenset(kind)
    )
    settings = Settings(cases=2, only=("smoke", "values.output"))
    assert by_property(conform(baked, settings))["values.output"].outcome == outcome
    named = replace(settings, expected_failures={"values.output": "named for this run"})
    assert by_property(conform(baked, named))["values.output"].outcome == "unexpected pass"
