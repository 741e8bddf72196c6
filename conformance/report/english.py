"""Facts in a person's words. Every sentence about an outcome is made here, and that about a cause in ``causes``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance import facts
from conformance.facts import Fact, Gap, Interruption, Outcome, Quick, Recurrence, Scope
from conformance.spec import DTYPES


def message(outcome: Outcome, fact: Fact | None, recurrence: Recurrence, history: int, expected: str) -> str:
    """The message of a verdict: its fact, how its failure comes back, and why it was expected to fail."""
    told = "" if fact is None else sentence(fact)
    if how := recurrence_of(recurrence, history):
        told += f" ({how})"
    if outcome == Outcome.EXPECTED_FAILURE:
        told += f" (expected: {expected})"
    if outcome == Outcome.UNEXPECTED_PASS:
        told = f"expected to fail: {expected}"
    return told


def counted(number: int, noun: str) -> str:
    """A number of things: "1 case", "2 cases"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def enumerated(words: Sequence[str]) -> str:
    """Words with commas between them and "and" before the last: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def sentence(fact: Fact) -> str:
    """A fact in words; ``said`` by a backend or its process, it may have several lines."""
    match fact:
        case facts.Mismatch():
            return _mismatch(fact)
        case facts.Misshapen():
            return f"{fact.tensor} has shape {fact.actual}, expected {fact.expected}" + fact.why
        case facts.Raised():
            told = f"{fact.what} raised {fact.type}: {fact.text or 'no message'}"
            return "\n".join([told, *(f"  {frame}" for frame in fact.frames)])
        case facts.Said():
            return fact.text
        case facts.Within():
            return f"{fact.context}: {sentence(fact.fact)}"
        case facts.Unsupported():
            return f"{fact.case}: {fact.reason}"
        case facts.Undeclared():
            return "; ".join(unmet(word) for word in fact.words)
        case facts.Part():
            return "; ".join(_part(fact))
        case facts.Unanswered():
            return "the call was not answered" if fact.recorded else "the recording does not have the call"
        case facts.Unshown():
            return "; ".join(_unshown(fact))
        case facts.DtypeUnjudged():
            return f"{counted(fact.cases, 'case')} of other dtypes: {fact.reason}"
        case facts.CutShort():
            return f"{interruption(fact.why)}; {_seen(fact.passed)}"
        case facts.AdapterBroken():
            return f"the adapter is broken: see {fact.see}"
        case facts.NotStarted():
            return f"it does not start: see {fact.see}"
        case facts.NoCase():
            return "no case was suitable for it"
        case facts.LeftOut():
            return "left out by the profile"
        case facts.Discarded():
            every = "the one suitable case" if fact.cases == 1 else f"each of {fact.cases} suitable cases"
            return f"{every} was left out, since what it builds on is wrong already: see {_listed(fact.see)}"


def _seen(passed: int) -> str:
    """What a run that was cut short has seen of a property."""
    return f"no failure in {_cases(passed)}" if passed else "no case had been checked"


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"


def scope(fact: Scope) -> str:
    """The cases in which a property that ended in an error was right all the same."""
    told = [f"right in {fact.right} of {counted(fact.cases, 'case')}"]
    if fact.wrong:
        told.append(f"wrong in {fact.wrong}")
    if fact.wherever:
        told.append(f"error wherever {' and '.join(map(_trait, fact.wherever))}")
    return "; ".join(told)


#: The words for a trait of a case, and for its contrary.
_TRAITS = {
    "initial_state": ("state is given", "no state is given"),
    "layers": ("layers > 1", "layers = 1"),
    "bidirectional": ("bidirectional", "not bidirectional"),
    "no_bias": ("there are no biases", "there are biases"),
    "batch_first": ("batch_first", "not batch_first"),
    "unbatched": ("x is unbatched", "x is a batch"),
    "projection": ("proj_size > 0", "proj_size = 0"),
    "lengths": ("lengths are given", "no lengths are given"),
    "batch": ("N > 1", "N = 1"),
    "steps": ("L > 1", "L = 1"),
    "view": ("an array is a view", "no array is a view"),
}


def _trait(name: str) -> str:
    plain = name.removeprefix("not ")
    return _TRAITS.get(plain, (f"the dtype is {plain}", f"the dtype is not {plain}"))[name != plain]


def _mismatch(fact: facts.Mismatch) -> str:
    expected, actual = facts.apart(fact.expected, fact.actual)
    text = f"{fact.tensor}{list(fact.index)} expected {expected} got {actual} bound {fact.bound:.1e}"
    if fact.of > 1:
        text += f" (layer {fact.layer}" + (f" of the first {fact.layers})" if fact.layers < fact.of else ")")
    return text


def _part(fact: facts.Part) -> list[str]:
    told = []
    if fact.example is not None:
        told.append(f"{fact.unsupported} of {counted(fact.cases, 'case')}, such as {sentence(fact.example)}")
    if fact.lost:
        told.append(f"{fact.lost} of {counted(fact.cases, 'case')} {ended(fact)}")
    return told


def _unshown(fact: facts.Unshown) -> Iterator[str]:
    cases = counted(fact.cases, "case")
    if fact.unanswered:
        yield f"{fact.unanswered} of {cases} not judged: a call of the recording was not answered"
    if fact.unrecorded:
        yield f"{fact.unrecorded} of {cases} not judged: they take calls that no recording has"


def ended(fact: facts.Part) -> str:
    """That cases ended the backend's process, and where to read how."""
    return "ended the process" + (f": see {', '.join(fact.see)}" if fact.see else "")


def shared(fact: Fact) -> str:
    """The common part of many verdicts: the fact without the case at which it was met, or the cases done."""
    match fact:
        case facts.CutShort():
            return f"{interruption(fact.why)}; {'no failure in the cases seen' if fact.passed else _seen(0)}"
        case facts.Part(example=None):
            return f"some cases {ended(fact)}"
        case facts.Part(example=facts.Unsupported(reason=reason)):
            return f"Unsupported raised within what is declared: {reason}"
        case facts.Unshown(unanswered=0):
            return "cases take calls that no recording has, such as those with a state that a call before returned"
        case facts.Unshown():
            return "calls of the recording were not answered"
        case facts.DtypeUnjudged():
            return fact.reason
        case facts.Discarded():
            return f"what it builds on is wrong already: see {_listed(fact.see)}"
        case _:
            return sentence(fact)


def interruption(fact: Interruption) -> str:
    """Why a run ended early."""
    match fact.how:
        case "stopped":
            return "stopped at the first failure"
        case "given up":
            return f"given up after {counted(fact.cases, 'case')}: {fact.reason}"
        case "unanswered":
            return f"{counted(fact.cases, 'recorded call')} not answered"
        case "not ended":
            return f"its run had not ended when this was written, after {counted(fact.cases, 'case')}"
        case _:
            return f"interrupted after {counted(fact.cases, 'case')}"


def recurrence_of(how: Recurrence, history: int) -> str:
    """How a failure comes back, or nothing if it always does; ``history`` counts the cases that must come before."""
    match how:
        case Recurrence.ALWAYS:
            return ""
        case Recurrence.IN_SOME_DRAWS:
            return "in some draws only"
        case Recurrence.AFTER_OTHERS:
            return f"only after {counted(history, 'earlier case')}: the same case alone passes"
        case Recurrence.AT_SOME_TRIES:
            return "not at each try: the calls share memory, such as a static buffer"
        case Recurrence.NEVER:
            return "seen once, and not again when repeated: the backend is not deterministic, or caches by address"


#: What is said of a word of ``Property.needs`` that does not hold; of all others, that they are not declared.
_UNMET = {
    **{part: f"{part} is not returned" for part in ("output", "h_n", "c_n")},
    **{d: f"{d} of IEEE arithmetic is not declared" for d in ("float32", "float64", "float16", "bfloat16")},
    "params": "its parameters are baked in",
    "values": "no dtype whose values are judged",
    "slots": "one layer and direction has nothing to order",
    "grad_x": "no gradient of x is declared",
    "grad_h_0": "no gradient of h_0 is declared",
    "grad_c_0": "no gradient of c_0 is declared",
    "grad_params": "no gradients of parameters are declared",
    "loop": "the suite supplies the loop over time",
    "views": "its inputs travel as bytes",
    "memory": "it shares no memory with the suite",
    "live": "recorded answers do not show it",
    "undeclared": "every option is declared",
    **{method: f"forward has no {method}" for method in ("load", "train")},
    "structure": "the model that is baked in has none of that",
}


def unmet(word: str) -> str:
    """Why a backend does not meet a need."""
    return _UNMET.get(word, f"{word} is not declared")


def undeclared(word: str) -> str:
    """Why nothing was judged of a word that stands before it."""
    if word in DTYPES:
        return "not declared with IEEE arithmetic"
    return _UNMET.get(word, "undeclared")


def remark(note: str, signatures: int) -> str:
    """What a reader must know of a backend: its note, and from how few signatures one that compiles was asked."""
    return "; ".join(
        [note] * bool(note) + [f"it compiles: asked from {counted(signatures, 'signature')}"] * bool(signatures)
    )


#: So many names are listed; more would not fit a line.
_LISTED = 4


def gap(gap: Gap) -> str:
    """The reasons that keep a backend from a level."""
    return f"{gap.level}: {'; '.join(_reasons(gap))}"


def _reasons(gap: Gap) -> Iterator[str]:
    if gap.interrupted is not None:
        yield interruption(gap.interrupted)
    if gap.quick:
        yield "only part of the cases ran"
    if gap.partial:
        yield "only part of the properties ran"
    if options := [word for word in gap.unmet if word not in _UNMET]:
        yield f"lacks {', '.join(options)}"
    yield from (unmet(word) for word in gap.unmet if word in _UNMET)
    if gap.unjudged:
        yield f"no property of this version judges {', '.join(gap.unjudged)}"
    for outcome, ids in gap.short:
        yield f"{outcome}: {_listed(ids)}"


def _listed(names: Sequence[str], most: int = _LISTED) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def cut_short(why: Interruption, bad: int, open: int) -> str:
    """What a run without an end has seen: so many properties fail, and so many others did not in any case of theirs."""
    told = [f"{bad} {'property does' if bad == 1 else 'properties do'} not hold"] if bad else []
    if open:
        told.append(f"no failure of {open} {'other ' if bad else ''}{'property' if open == 1 else 'properties'}")
    return "; ".join([", and ".join(told)] * bool(told) + [interruption(why)])


#: What may bring a failure that does not come back.
PASSES_HERE = (
    "Nothing is wrong with this case here. If you changed the code, run again. If you did not: a failure may not come "
    "back if it came of memory that nobody wrote (such as np.empty or torch.empty), of earlier calls, of threads, or "
    "of chance. Replay it some more times."
)


# A backend in a sentence

#: So many few words of what fails stand in a sentence.
_FEW = 3


def computes(good: int, bad: int, asked: int, level: str, whole: bool, expected: int, unexpected: int) -> str:
    """The answer to the first question: does it compute what nn.LSTM computes?

    Of the properties ``asked`` so many are ``good``, among them those that fail as ``expected``, and so many ``bad``,
    among them those that hold ``unexpected``ly; the others were not judged, or in part. ``whole`` says that they are
    all that there are.
    """
    unjudged = _unjudged(asked - good - bad)
    if bad > unexpected:
        return f"does not compute what nn.LSTM computes: {good - expected} of {asked} properties hold{unjudged}"
    but = (f", but for {counted(expected, 'expected failure')}" if expected else "") + unjudged
    if unexpected:
        but += f", though {unexpected} {'property was' if unexpected == 1 else 'properties were'} expected to fail"
        good += unexpected
    if not whole or unjudged:
        told = f"{good - expected} of {asked} {'' if whole else 'chosen '}properties"
        return f"holds {told} of what nn.LSTM computes{but}"
    return "computes what nn.LSTM computes" + (f" ({level})" if level else ", of what it declares") + but


def others(question: str, good: int, asked: int, failing: Sequence[str], expected: int) -> str:
    """The answer to one of the other questions; ``failing`` says in a few words what does not hold.

    Of those that are ``good`` so many fail as ``expected``: they do not hold, and are no surprise.
    """
    told = f"{question} {good - expected} of {asked}" + (f", {expected} expected to fail" if expected else "")
    told += _unjudged(asked - good - len(failing))
    return told + (f": {_listed(failing, _FEW)}" if failing else "")


def quick(fact: Quick, hold: int, expected: int, asked: int, left: int, missing: int) -> str:
    """What a quick run found: of the properties that it ``asked`` so many ``hold``; ``left`` others had no case.

    So many fail as ``expected``, and so many guards are ``missing``, which do not count.
    """
    out = [f"{left} {'property' if left == 1 else 'properties'}"] * bool(left)
    if fact.large:
        out += ["the fixed set", "all usual sizes"]
    else:
        out += [f"{fact.fixed - fact.cases} other cases", "most large sizes", "all random cases"]
    told = f"{hold} of {asked} properties hold in {fact.cases} cases{' of large sizes' * fact.large}"
    told += f"; {expected} expected to fail" if expected else ""
    told += f"; {counted(missing, 'guard')} missing" if missing else ""
    return f"{told}; left out: {', '.join(out[:-1])} and {out[-1]}"


def _unjudged(count: int) -> str:
    """So many properties were not run, or not on all of their cases."""
    return f", {count} not fully judged" if count else ""


def following(count: int) -> str:
    """So many properties were not judged because of what is wrong."""
    noun = "property that builds" if count == 1 else "properties that build"
    return f"not run: {count} {noun} on what is wrong"


def missing_guards(count: int) -> str:
    """The head of the guards that fail and do not count."""
    return f"{count} guard{' fails. It counts' if count == 1 else 's fail. They count'} with --strict only:"
