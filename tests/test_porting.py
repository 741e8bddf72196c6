"""The conversions of docs/porting.md undo each other, and the search tells a convention from all others."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import ROOT

from conformance.spec import Array
from implementations.porting import page, verify
from implementations.porting.code import functions, whole
from implementations.porting.sides import SIDES, Side

TEXT = (ROOT / "docs/porting.md").read_text(encoding="utf-8")
H, I = 5, 3  # noqa: E741
SHAPES = {"W_ih": (4 * H, I), "W_hh": (4 * H, H), "b_ih": (4 * H,), "b_hh": (4 * H,)}


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """What the code of the page defines, as a reader copies it."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT.partition("## The code")[2], flags=re.DOTALL):
        exec(code, names)
    return names


def weights() -> list[Array]:
    """Whole numbers, so that every sum is exact."""
    return [np.random.default_rng(k).integers(-9, 9, shape).astype("f4") for k, shape in enumerate(SHAPES.values())]


def bias_of(parts: Any) -> Array:
    return parts[2] + parts[3]


@pytest.mark.parametrize("a", SIDES, ids=lambda side: side.id)
def test_weights_come_back_by_way_of_any_other(documented: dict[str, Any], a: Side) -> None:
    for b in SIDES:
        there = documented[f"to_{b.id}"](*documented[f"from_{a.id}"](documented[f"to_{a.id}"](*weights())))
        assert list(there) == list(b.arrays)
        back = documented[f"from_{b.id}"](there)
        assert [part.shape for part in back] == [*SHAPES.values()]
        assert all(np.array_equal(one, other) for one, other in zip(back[:2], weights(), strict=False))
        assert np.array_equal(bias_of(back), bias_of(weights()))


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.id)
def test_states_and_sequences_come_back(documented: dict[str, Any], side: Side) -> None:
    rows = 2 if "N" in side.x else 1
    h, c = np.ones((rows, H)), np.zeros((rows, H))
    there = documented[f"state_to_{side.id}"](h, c)
    assert all(part.ndim == len(side.axes.split()) for part in there)
    back = documented[f"state_from_{side.id}"](*there)
    assert np.array_equal(back[0].reshape(rows, H), h)
    assert np.array_equal(back[1].reshape(rows, H), c)
    x = np.arange(4 * rows * I).reshape(4, rows, I)
    assert np.array_equal(documented[f"output_from_{side.id}"](documented[f"x_to_{side.id}"](x)), x)


def test_the_example_of_the_page_runs(documented: dict[str, Any]) -> None:
    [example] = re.findall(r"```python\n(.*?)```", TEXT.partition("## The code")[0], flags=re.DOTALL)
    kernel, recurrent_kernel = np.ones((I, 4 * H)), np.ones((H, 4 * H))
    names = documented | {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": np.ones(4 * H)}
    exec(example, names)
    assert (names["W"].shape, names["R"].shape, names["B"].shape) == ((4 * H, I), (4 * H, H), (8 * H,))


def test_the_pages_are_those_of_what_was_found() -> None:
    for path, text in page.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: python -m implementations.porting.page"


def test_every_side_was_verified_by_running() -> None:
    assert "not verified" not in (ROOT / "docs/conventions.md").read_text(encoding="utf-8")


# The search, with frameworks made of the reference


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A framework that computes as one side says, called as another one is stated: a reading that is right or not."""

    def of(real: Side, stated: Side) -> Any:
        monkeypatch.setitem(verify.NATIVE, (stated.id, ""), ((), lambda *given: run(real, *given)))
        case = verify.case_of(stated)
        arrays = verify.ported(stated, case.params)
        return verify.agreeing(stated, "", arrays, case)

    return of


def run(side: Side, arrays: Any, x: Array, first: Array, second: Array) -> Any:
    """An LSTM in float64 with the conventions of a side."""
    names = functions(whole(side))
    W_ih, W_hh, b_ih, b_hh = (part.astype("f8") for part in names[f"from_{side.id}"](arrays))
    h, c = names[f"state_from_{side.id}"](first, second)
    shown = []
    for x_t in x.swapaxes(0, 1) if side.x == "N L I" else x:
        i, f, g, o = np.split(x_t @ W_ih.T + h @ W_hh.T + b_ih + b_hh, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        shown.append(h)
    output = np.stack(shown, axis=1 if side.x == "N L I" else 0)
    return (output.astype("f4"), *(part.astype("f4") for part in names[f"state_to_{side.id}"](h, c)))


KERAS = next(side for side in SIDES if side.id == "keras")
LINEN = next(side for side in SIDES if side.id == "flax_linen")


@pytest.mark.parametrize(
    "change",
    [{}, {"gates": "figo"}, {"forget": 1}, {"state": "ch"}, {"x": "L N I"}],
    ids=lambda change: next(iter(change), "as stated"),
)
def test_one_reading_alone_agrees(made: Any, change: dict[str, Any]) -> None:
    """Also where the convention is stated wrongly: then the one that agrees is another."""
    real = replace(KERAS, **change)
    found = made(real, KERAS)
    assert [*found] == [verify.reading(real)]
    assert ([*found] == [verify.reading(KERAS)]) is (not change)


def test_gates_apart_may_be_exchanged(made: Any) -> None:
    real = replace(LINEN, arrays=verify.exchanged(LINEN.arrays, "ofgi"))
    assert [*made(real, LINEN)] == [("ofgi", 0, "ch", "N L I")]


def test_a_framework_that_is_wrong_agrees_with_nothing(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case = verify.case_of(KERAS)
    broken = lambda arrays, x, h, c: run(KERAS, arrays | {"bias": 0 * arrays["bias"]}, x, h, c)  # noqa: E731
    monkeypatch.setitem(verify.NATIVE, ("keras", ""), ((), broken))
    assert verify.agreeing(KERAS, "", verify.ported(KERAS, case.params), case) == {}


def test_weights_judged_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a framework returned is judged too: a file that says something else is seen."""
    for side in (KERAS, LINEN):
        monkeypatch.setitem(verify.NATIVE, (side.id, ""), ((), lambda *given, side=side: run(side, *given)))
    told = verify.record(KERAS, "")
    assert told["verified"]
    assert verify.port(told, LINEN, "") <= 1.0
    told["returned"][0][0][0][0] += 1e-3
    assert verify.port(told, LINEN, "") > 1.0


def test_what_the_file_does_not_say_is_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--check`` fails for a convention that is no longer so, for one that is new, and for a framework that ends."""
    found = {"arrays": {"W": [1.0]}, "verified": True, "agree": [["ifgo", 0, "hc", "L N I", 0.1]]}
    monkeypatch.setattr(verify, "_alone", lambda *given: (dict(found), ""))

    def wrong(known: dict[str, Any]) -> bool:
        return verify._search("mlx", "", {"frameworks": known}, check=True)

    assert not wrong({"mlx": found})
    assert wrong({})
    assert wrong({"mlx": found | {"arrays": {}}})
    found["verified"] = False
    assert wrong({"mlx": found})
    assert "right as [['ifgo', 0, 'hc', 'L N I']]" in capsys.readouterr().out
    monkeypatch.setattr(verify, "_alone", lambda *given: (None, "Segmentation fault"))
    assert wrong({"mlx": found})
    assert "mlx: Segmentation fault" in capsys.readouterr().out


def test_weights_that_are_wrong_elsewhere_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_alone", lambda *given: ({"keras": 0.5, "haiku": 7.0}, ""))
    there: dict[str, Any] = {"frameworks": {}, "ported": {}}
    assert verify._port("mlx", "", tmp_path, there)
    assert there["ported"] == {"mlx": {"keras": 0.5, "haiku": 7.0}}
