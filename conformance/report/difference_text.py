"""The difference between two reports in words: what became worse first, and what may be the reason last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.report import english
from conformance.report.columns import WIDTH, wrapped
from conformance.report.difference import Change, Changed, Difference, Other
from conformance.report.difference_weights import Became, WeightsChanged, told_of

#: How far the time of a call may be from what it was for a text to say that it is about the same.
_SAME_PACE = 1.1

#: So many properties are told one by one where nothing is wrong with them.
_MOST = 12

_HEADS = {
    Change.NEW_FAILURE: "new failure",
    Change.LOST: "not known to hold any more",
    Change.NOT_JUDGED: "not judged any more",
    Change.ALTERED: "fails otherwise",
    Change.FIXED: "fixed",
    Change.NEWLY_JUDGED: "judged and passed, which was not before",
}

_WEIGHTS = {
    Became.WRONG: "weights are wrong now",
    Became.NOT_COMPARED: "weights not compared any more",
    Became.ALTERED: "weights are otherwise than before",
    Became.RIGHT: "weights are right now",
    Became.NEWLY_COMPARED: "weights compared and right, which were not compared before",
}


def told(difference: Difference, width: int = WIDTH) -> str:
    """What a person needs to know, in lines of about ``width`` columns."""
    parts = [
        _head(difference),
        *_incomplete(difference),
        _weights(difference, Became.WRONG),
        *(_changes(difference, change) for change in (Change.NEW_FAILURE, Change.LOST)),
        _grown(difference),
        *_backends(difference),
        *(_weights(difference, became) for became in _WEIGHTS if became != Became.WRONG),
        *(_changes(difference, change) for change in _HEADS if change not in (Change.NEW_FAILURE, Change.LOST)),
        _paces(difference),
        _others("settings", difference.settings),
        _others("versions", difference.versions),
    ]
    return "\n\n".join(_fitted(part, width) for part in parts if part)


def _fitted(text: str, width: int) -> str:
    return "\n".join(wrapped(line, "    ", width) for line in text.splitlines())


def _head(difference: Difference) -> str:
    if difference.worse:
        worse = [each for each in difference.changed if each.worse]
        failing = sum(each.change == Change.NEW_FAILURE for each in worse)
        counts = [
            (sum(each.worse for each in difference.weights), "LSTM that got wrong weights"),
            (failing, "new failure"),
            (len(worse) - failing, "property that passed"),
            (len(difference.grown), "margin that grew"),
        ]
        return f"worse: {english.enumerated([_counted(count, noun) for count, noun in counts if count])}"
    if not difference.whole:
        return "incomplete: nothing became worse, as far as both reports tell"
    return "nothing became worse"


def _counted(count: int, noun: str) -> str:
    first, _, rest = noun.partition(" that ")
    if not rest:
        return english.counted(count, noun)
    plural = "properties" if first == "property" else f"{first}s"
    return f"{count} {first if count == 1 else plural} that {rest}"


def _incomplete(difference: Difference) -> Iterator[str]:
    for name, complete in (("OLD", difference.old_complete), ("NEW", difference.new_complete)):
        if not complete:
            yield f"{name} is incomplete: its run did not come to the end, or a target could not be judged"


def _weights(difference: Difference, became: Became) -> str:
    """A line for each LSTM whose weights became so, and how they compare."""
    found = [each for each in difference.weights if each.became == became]
    lines = (line for each in found for line in _weights_changed(each))
    return "\n".join([f"{_WEIGHTS[became]} ({len(found)})", *lines]) if found else ""


def _weights_changed(each: WeightsChanged) -> Iterator[str]:
    was = "not in OLD" if each.old is None else str(each.old.likeness)
    now = "not in NEW" if each.new is None else str(each.new.likeness)
    yield f"  {each.name}  {now if was == now else f'{was} → {now}'}"
    before, after = (told_of(side) if side else [] for side in (each.old, each.new))
    if each.became == Became.ALTERED:
        yield from (f"    was  {line}" for line in before)
        yield from (f"    now  {line}" for line in after)
    elif each.became == Became.WRONG:
        yield from (f"    {line}" for line in after)


def _changes(difference: Difference, change: Change) -> str:
    """A line for each property of a kind of change, under its head; for good news the ids alone."""
    found = [each for each in difference.changed if each.change == change]
    if not found:
        return ""
    head = f"{_HEADS[change]} ({len(found)})"
    if change == Change.NEWLY_JUDGED or (change in (Change.FIXED, Change.NOT_JUDGED) and len(found) > _MOST):
        return "\n".join([head, *_by_backend(found)])
    return "\n".join([head, *(line for each in found for line in _change(each))])


def _by_backend(found: Sequence[Changed]) -> Iterator[str]:
    for name in dict.fromkeys(each.backend for each in found):
        ids = [each.property for each in found if each.backend == name]
        more = f" and {len(ids) - _MOST} more" if len(ids) > _MOST else ""
        yield f"  {name}: {', '.join(ids[:_MOST])}{more}"


def _change(each: Changed) -> Iterator[str]:
    was = "not in OLD" if each.old is None else str(each.old.outcome)
    now = "not in NEW" if each.new is None else str(each.new.outcome)
    outcome = now if was == now else f"{was} → {now}"
    beside = "" if each.worse or each.change != Change.NEW_FAILURE else "  (a guard, which counts with --strict only)"
    yield f"  {each.backend}: {each.property}  {outcome}{beside}"
    old, new = each.old, each.new
    if new is None or not new.outcome.bad:
        return
    for word, was, now in (
        ("", old and old.message, new.message),
        ("case ", old and old.recipe, new.recipe),
    ):
        if not now:
            continue
        if each.change == Change.ALTERED and was != now:
            yield f"    {word}was  {_line(was or 'none')}"
            yield f"    {word}now  {_line(now)}"
        elif each.change == Change.NEW_FAILURE:
            yield f"    {word}{_line(now)}"


def _line(text: str) -> str:
    return text.partition("\n")[0]


def _grown(difference: Difference) -> str:
    lines = [f"  {each.backend}: {each.property}  {each.old:.2g} → {each.new:.2g}" for each in difference.grown]
    return "\n".join([f"margins grew more than they do by chance ({len(lines)})", *lines]) if lines else ""


def _backends(difference: Difference) -> Iterator[str]:
    if difference.missing:
        yield f"not in NEW: {', '.join(difference.missing)}"
    for name, bad in difference.added.items():
        yield f"not in OLD: {name}, of which {english.counted(bad, 'verdict')} {'is' if bad == 1 else 'are'} wrong"


def _paces(difference: Difference) -> str:
    lines = [
        f"  {each.backend}: {_pace(each.ratio)} ({english.counted(each.sizes, 'size')})" for each in difference.paces
    ]
    return "\n".join(["time of a call, which decides nothing", *lines]) if lines else ""


def _pace(ratio: float) -> str:
    if 1 / _SAME_PACE <= ratio <= _SAME_PACE:
        return "about the same"
    return f"{ratio:.2f} × the time" if ratio > 1 else f"1/{1 / ratio:.2f} of the time"


def _others(head: str, found: Sequence[Other]) -> str:
    lines = [
        f"  {f'{each.backend}: ' if each.backend else ''}{each.name}  {each.old or 'none'} → {each.new or 'none'}"
        for each in found
    ]
    return "\n".join([f"other {head}", *lines]) if lines else ""
