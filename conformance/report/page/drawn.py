"""What the page draws on demand, as data for its script: properties, and of each verdict what is more than its mark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from conformance.cases.recipe import parse
from conformance.errors import UsageError
from conformance.facts import Compared, Evidence, Mismatch, Tensor, Within, apart
from conformance.properties import catalogue
from conformance.report import english
from conformance.report.levels import level_of
from conformance.report.model import Verdict
from conformance.report.page.backends import MARKS, NAME, Shown, plain, unquoted
from conformance.report.text import replay_line
from conformance.spec import LSTMConfig

#: So many failures have their arrays on the page: the others have all but those.
_ARRAYS = 500


def data(shown: Sequence[Shown], ids: Sequence[str]) -> dict[str, Any]:
    """Properties, backends, and of each verdict what is more than its mark."""
    texts: dict[str, int] = {"": 0}
    room = [_ARRAYS]
    columns = [_column(backend, ids, texts, room) for backend in shown]
    known = catalogue()
    return {
        "marks": {key: asdict(mark) for key, mark in MARKS.items()},
        "groups": list(dict.fromkeys(known[id].group for id in ids)),
        "properties": [
            {
                "id": id,
                "group": known[id].group,
                "question": known[id].question,
                "level": level_of(known[id]) or "",
                "statement": unquoted(known[id].statement),
                "why": unquoted(known[id].why),
                "needs": known[id].needs,
            }
            for id in ids
        ],
        "backends": columns,
        "texts": list(texts),
    }


def _column(shown: Shown, ids: Sequence[str], texts: dict[str, int], room: list[int]) -> dict[str, Any]:
    backend = shown.report
    verdicts = {verdict.property: verdict for verdict in backend.verdicts}
    found = [verdicts.get(id) for id in ids]
    explained = {id: at for at, cause in enumerate(shown.causes) for id in reversed(cause.explains)}

    def text(value: str) -> int:
        return texts.setdefault(plain(value), len(texts))

    return {
        "key": shown.key,
        "target": plain(next((v.backend for v in backend.verdicts), backend.backend)),
        "standing": shown.standing,
        "good": shown.good,
        "sentence": shown.sentence,
        "level": shown.level,
        "facts": [[word, value] for word, value in _about(shown) if value],
        "marks": "".join(shown.marks.get(id, " ") for id in ids),
        "margins": [_short(v.margin) if v else None for v in found],
        "cases": [v.cases if v else 0 for v in found],
        "messages": [text(v.message) if v else 0 for v in found],
        "details": {
            str(at): _detail(v, explained.get(v.property), room)
            for at, v in enumerate(found)
            if v and (v.recipe is not None or v.outcome.bad)
        },
        "choices": {plain(k, NAME): {plain(n, NAME): c for n, c in v.items()} for k, v in backend.choices.items()},
    }


def _about(shown: Shown) -> Iterator[tuple[str, str]]:
    """What else a reader may know of a backend."""
    backend = shown.report
    yield "weights", shown.weights
    yield "short of", shown.gap
    yield "remark", shown.remark
    yield "not judged", shown.unjudged
    yield "dtypes", ", ".join(backend.dtypes)
    yield "frameworks", plain(", ".join(f"{name} {version}" for name, version in backend.frameworks.items()))
    long = f", {backend.long} of them of 100 steps and more" if backend.long else ""
    yield "cases", f"{backend.cases}{long}" if backend.cases else ""
    yield "3-way", f"{backend.covered} of {backend.combinations} combinations" if shown.coverage is not None else ""
    yield "margin", "" if backend.margin is None else f"{backend.margin:.2g} of the bound"
    yield "time", f"{backend.seconds:.1f} s"


def _detail(verdict: Verdict, cause: int | None, room: list[int]) -> dict[str, Any]:
    """A verdict's case, its numbers and its commands."""
    told: dict[str, Any] = {"smallest": plain(verdict.smallest)}
    if cause is not None:
        told["cause"] = cause
    if verdict.recipe is not None:
        line = replay_line(verdict)
        told |= {"config": list(_config(verdict.recipe)), "replay": plain(line)}
        told["write"] = plain(f"{line} --write failure.py")
    if verdict.history:
        told["history"] = [plain(text, 400) for text in verdict.history]
    if verdict.worst is not None and verdict.worst > 1:
        told["worst"] = _short(verdict.worst)
    if verdict.scope is not None:
        told["scope"] = english.scope(verdict.scope)
    fact = verdict.fact.fact if isinstance(verdict.fact, Within) else verdict.fact
    if isinstance(fact, Mismatch):
        expected, actual = apart(fact.expected, fact.actual)
        told["numbers"] = {"at": f"{plain(fact.tensor, NAME)}{list(fact.index)}", "expected": expected}
        error = abs(fact.actual - fact.expected)
        share = error / fact.bound if fact.bound and not math.isnan(error) else math.inf
        told["numbers"] |= {"actual": actual, "bound": f"{fact.bound:.2g}", "share": f"{share:.3g}"}
    if verdict.evidence is not None and room[0] > 0:
        room[0] -= 1
        told["evidence"] = _evidence(verdict.evidence)
    return told


def _config(recipe: str) -> Iterator[tuple[str, str]]:
    """The model and the call of a recipe, by nn.LSTM's names, without what is as it is by default."""
    try:
        drawn = parse(recipe)
    except UsageError:
        # A report may come from an environment that has dtypes which this one lacks.
        return
    usual = LSTMConfig(1, 1)
    for field in fields(LSTMConfig):
        value = getattr(drawn.config, field.name)
        if field.name in ("input_size", "hidden_size", "dtype") or value != getattr(usual, field.name):
            yield field.name, str(value)
    yield "steps", str(drawn.L)
    yield ("x", "unbatched") if drawn.unbatched else ("rows", str(drawn.N))
    if drawn.state != "none":
        yield "state", {"both": "h_0, c_0", "h": "h_0", "c": "c_0"}[drawn.state]
    if drawn.ragged:
        yield "lengths", "given"
    if drawn.view != "plain":
        yield "arrays", drawn.view


def _evidence(shown: Evidence) -> dict[str, Any]:
    return {
        "call": plain(shown.call),
        "given": [_tensor(tensor) for tensor in shown.given],
        "compared": [_compared(one) for one in _joined(shown.compared)],
        "traceback": plain(shown.traceback, 6000),
    }


def _tensor(tensor: Tensor) -> list[Any]:
    values = None
    if tensor.values is not None and tensor.nonzero:
        values = [f"{value:.9g}" for value in tensor.values]
    return [plain(tensor.name, NAME), tensor.dtype, tensor.shape, tensor.nonzero, values]


def _joined(compared: Sequence[Compared]) -> list[Compared]:
    """The comparisons with the parts of one tensor together: each layer and direction was compared by itself."""
    joined: list[Compared] = []
    for one in compared:
        own = {each.index for each in one.elements}
        at = next((k for k, other in enumerate(joined) if other.tensor == one.tensor), None)
        # Models of fewer layers have tensors of the same name and places.
        if at is None or own & {each.index for each in joined[at].elements}:
            joined.append(one)
        else:
            other = joined[at]
            elements = tuple(sorted(other.elements + one.elements, key=lambda each: each.index))
            joined[at] = Compared(one.tensor, elements, other.count + one.count, other.wrong + one.wrong)
    return joined


def _compared(one: Compared) -> list[Any]:
    elements = [
        [each.index, *apart(each.expected, each.actual), f"{each.share:.3g}", int(each.wrong)] for each in one.elements
    ]
    return [plain(one.tensor, NAME), one.count, one.wrong, elements]


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"
