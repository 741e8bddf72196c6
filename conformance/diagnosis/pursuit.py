"""The search for the alterations that explain what a backend returned: probe by probe, the plainest first.

Invariant: every hypothesis that is kept explains each probe that was met and is not among the unexplained ones.
Order: a hypothesis is replaced only where a probe refutes it. Then, in this order and until some explain the probe and
all those before it: the last alterations in other scopes or on some occasions only, one akin in the place of another,
one more, the same two in scopes, one that explains this probe but not all before it on some occasions only, any in the
place of another, two more. All that explain are kept: later probes tell them apart.
Termination: the probes are finite, each is met once, and each search is finite and ends at the deadline.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from conformance.diagnosis.library import Library
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call, Probe
from conformance.engine.reply import Reply
from conformance.facts import Alteration
from conformance.faults.families import known

Hypothesis = tuple[Alteration, ...]

#: The share of the time left that the search at one probe may take.
_SHARE = 0.2

#: After so many probes that nothing explains only single alterations are tried; after so many, none.
_FRUITLESS, _HOPELESS = 3, 8

#: Hypotheses that are kept side by side, and those of which two more alterations are tried.
_KEPT, _PROMISING = 12, 8


def _options(call: Call) -> tuple[object, ...]:
    """What decides most of what may show in a call."""
    case, c = call.case, call.case.config
    given = case.state is not None, case.lengths is not None, case.unbatched, bool(call.before)
    return c.num_layers, c.bidirectional, c.bias, c.batch_first, c.proj_size > 0, c.dtype, *given


def _length(hypothesis: Hypothesis) -> tuple[int, int]:
    """Of those that explain the same, the shortest is the simplest."""
    return len(hypothesis), sum(len(one.scope) for one in hypothesis)


@dataclass
class Seen:
    """A probe with what the backend returned to each of its calls."""

    probe: Probe
    replies: tuple[Reply, ...]

    def pairs(self) -> Iterable[tuple[Call, Reply]]:
        """Each call with its reply."""
        return zip(self.probe.calls, self.replies, strict=True)


@dataclass
class Pursuit:
    """The state of a search."""

    predictions: Predictions
    library: Library
    #: When it must end, by ``time.monotonic``.
    deadline: float
    #: Faults that no hypothesis may name.
    without: frozenset[str] = frozenset()
    kept: list[Hypothesis] = field(default_factory=lambda: [()])
    met: list[Seen] = field(default_factory=list)
    #: Those that the correct LSTM explains.
    right: list[Seen] = field(default_factory=list)
    unexplained: list[Seen] = field(default_factory=list)
    #: By hypothesis, the probe at which its last alteration was found.
    found_at: dict[Hypothesis, Probe] = field(default_factory=dict)
    _until: float = 0.0
    _calls: tuple[Call, ...] = ()
    _off: frozenset[str] = frozenset()
    #: Those that explain the probe at hand, and not all before it.
    _elsewhere: list[Hypothesis] = field(default_factory=list)

    def meet(self, seen: Seen) -> None:
        """Take a probe into account."""
        if self._explains((), seen):
            self.right.append(seen)
        left = [hypothesis for hypothesis in self.kept if self._explains(hypothesis, seen)]
        if not left and len(self.unexplained) < _HOPELESS:
            left = self._search(seen)
            for hypothesis in left:
                self.found_at.setdefault(hypothesis, seen.probe)
        if left:
            self.kept = sorted(left, key=_length)[:_KEPT]
            self.met.append(seen)
        else:
            self.unexplained.append(seen)

    def without_coincidences(self, hypothesis: Hypothesis, others: Sequence[Seen]) -> Hypothesis:
        """The hypothesis without the alterations that explain no more than the one probe at which they were found.

        ``others`` took no part in the search. What such an alteration explained remains unexplained.
        """
        for one in hypothesis[1:]:
            less = tuple(other for other in hypothesis if other != one)
            gained = [s for s in (*self.met, *others) if self._explains(hypothesis, s) and not self._explains(less, s)]
            if len(gained) < 2:
                self.found_at.setdefault(less, self.found_at[hypothesis])
                self.unexplained += gained
                hypothesis = less
        return hypothesis

    def _explains(self, hypothesis: Hypothesis, seen: Seen) -> bool:
        return all(self.predictions.explains(hypothesis, call, told) for call, told in seen.pairs())

    def _holds(self, hypothesis: Hypothesis, seen: Seen) -> bool:
        """Whether a hypothesis explains a probe and all before it."""
        if not self._explains(hypothesis, seen):
            return False
        if all(self._explains(hypothesis, each) for each in reversed(self.met)):
            return True
        self._elsewhere.append(hypothesis)
        return False

    def _search(self, seen: Seen) -> list[Hypothesis]:
        now = time.monotonic()
        self._until = now + _SHARE * (self.deadline - now)
        self._calls = seen.probe.calls
        self._off = frozenset[str]().union(*(self.predictions.off(call, told) for call, told in seen.pairs()))
        self._elsewhere = []
        bases = self.kept[:_PROMISING]
        plain, scoped = partial(self._akin, self.library.everywhere), partial(self._akin, self.library.scoped)
        steps = [self._rescoped, plain, self._more]
        few = seen.probe.rare or len(self.unexplained) >= _FRUITLESS
        if not few:
            steps += [scoped, self._more_scoped, self._occasional, self._replaced]
        for step in steps:
            found = [h for h in self._distinct(step(bases)) if self._holds(h, seen)]
            if found or self._late():
                return found
        if few:
            return []
        return [h for h in self._distinct(self._two_more(bases[:2], seen)) if self._holds(h, seen)]

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def _distinct(self, hypotheses: Iterable[Hypothesis]) -> Iterator[Hypothesis]:
        """Each set of alterations once, until it is late."""
        seen: set[frozenset[Alteration]] = set()
        for hypothesis in hypotheses:
            if self._late():
                return
            key = frozenset(hypothesis)
            if len(key) == len(hypothesis) and key not in seen:
                seen.add(key)
                yield hypothesis

    def _relevant(self, library: Sequence[Alteration]) -> list[Alteration]:
        """Those that may show in the probe at hand; first those that no probe that was right could have shown."""
        plain = {_options(seen.probe.calls[0]): seen.probe.calls[0] for seen in self.right}
        here = [self.library.relevant(call, self._off) for call in self._calls]
        before = [self.library.relevant(call, self._off) for call in plain.values()]
        named = (one for one in library if one.fault not in self.without)
        return sorted((one for one in named if any(f(one) for f in here)), key=lambda one: any(f(one) for f in before))

    @property
    def _whole_library(self) -> Sequence[Alteration]:
        return (*self.library.everywhere, *self.library.scoped)

    # What is tried, from the simplest on

    def _rescoped(self, bases: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
        for others in (self.library.scopes_of, self.library.occasional):
            for base in bases:
                for k, one in enumerate(base):
                    for other in others(one):
                        yield (*base[:k], other, *base[k + 1 :])

    def _akin(self, library: Sequence[Alteration], bases: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
        for base in bases[:2]:
            kinds = {known()[one.fault].kind for one in base}
            akin = [one for one in library if known()[one.fault].kind in kinds] if kinds else []
            for k, own in enumerate(base):
                for one in self._relevant(akin):
                    if known()[one.fault].kind == known()[own.fault].kind:
                        yield (*base[:k], one, *base[k + 1 :])

    def _more(self, bases: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
        for base in bases:
            for one in self._relevant(self.library.everywhere):
                yield (*base, one)

    def _more_scoped(self, bases: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
        for base in bases[:2]:
            for one in self._relevant(self.library.scoped):
                yield (*base, one)

    def _occasional(self, bases: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
        for *before, last in list(self._elsewhere):
            for one in self.library.occasional(last):
                yield (*before, one)

    def _replaced(self, bases: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
        for base in bases[:2]:
            for k in range(len(base)):
                for one in self._relevant(self._whole_library):
                    yield (*base[:k], one, *base[k + 1 :])

    def _two_more(self, bases: Sequence[Hypothesis], seen: Seen) -> Iterator[Hypothesis]:
        """One more beside each that makes more elements right than the base does."""
        library = self._relevant(self._whole_library)
        for base in bases:
            before = self._right(base, seen)
            gains = []
            for one in library:
                if self._late():
                    return
                right = self._right((*base, one), seen)
                if right is not None and before is not None and right > before:
                    gains.append((right, one))
            gains.sort(key=lambda gain: -gain[0])
            for _, one in gains[:_PROMISING]:
                for other in library:
                    yield (*base, one, other)

    def _right(self, hypothesis: Hypothesis, seen: Seen) -> int | None:
        """How many elements a hypothesis explains."""
        total = 0
        for call, told in seen.pairs():
            wrong = self.predictions.wrong(hypothesis, call, told)
            if wrong is None:
                return None
            total += sum(int(np.count_nonzero(~part)) for part in wrong.values())
        return total
