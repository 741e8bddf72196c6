"""The calls of a run, and those of the diagnosis that may follow it: all that do not depend on an earlier answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from random import Random

from conformance.backend import Backend, Capabilities
from conformance.cases.case import realise
from conformance.cases.recipe import Recipe
from conformance.diagnosis.confirmation import SMALL, Vary, forward_call, fresh_cases, reseeded, valued_dtypes
from conformance.diagnosis.following import small
from conformance.diagnosis.gates import gates
from conformance.diagnosis.gradient_probes import cotangents_of, varied
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call, Probe
from conformance.diagnosis.rare_gradient_probes import vjp_probes
from conformance.diagnosis.rare_probes import forward_probes
from conformance.engine.judging import Here
from conformance.engine.news import Tell, unheard
from conformance.engine.plan import Settings, plan
from conformance.engine.reply import Reply, reply
from conformance.engine.sieve import conform
from conformance.recorded.playback import Collector
from conformance.trials.trial import Trial

#: So many more cases like each small row of the fixed set are recorded, by which a cause is confirmed.
_AGAIN = 2


class Doubting(Trial):
    """A trial whose results are taken for wrong, so that properties make the calls that they make of a wrong LSTM."""

    def right(self) -> bool:
        """Never; what it takes to know is asked all the same."""
        super().right()
        return False


def asked(capabilities: Capabilities, settings: Settings, tell: Tell = unheard) -> Collector:
    """Run the suite on a correct LSTM, and keep the calls that it makes.

    Nothing fails, so no call is left out. A second time, what may be refused is answered, and results are taken for
    wrong: properties make other calls then. The calls of the diagnosis come last. Raises ``UsageError`` for ids that
    name no property.
    """
    collector = Collector(capabilities)
    for backend, trials in ((collector.backend, Trial), (collector.answering, Doubting)):
        conform(Here(backend, trials=trials), replace(settings, shrink=False), tell)
    rows = plan(collector.backend, settings).fixed_set()
    for dtype in valued_dtypes(collector.backend)[:1]:
        gates(Predictions(collector.backend), lambda case: reply(collector.backend, case), dtype)
    for call in _of_diagnosis(collector.backend, rows):
        # The calls of one model after another depend on it.
        if not call.before:
            reply(collector.backend, call.case, call.cotangents)
    return collector


def _of_diagnosis(backend: Backend, rows: Sequence[Recipe]) -> Iterator[Call]:
    """The calls that a diagnosis makes whatever fails, and those like the rows of the fixed set."""
    few = [row for row in rows if row.H * row.L * row.N * row.layers < SMALL]
    dtypes = valued_dtypes(backend)
    if dtypes:
        yield from _of_search(backend, few, dtypes, forward_probes, forward_call)
    precise = [dtype for dtype in ("float64", "float32") if dtype in dtypes]
    if precise and backend.capabilities.gradients:
        vary = partial(varied, returns=backend.capabilities.returns)
        yield from _of_search(backend, few, precise, vjp_probes, vary)
        for recipe in dict.fromkeys(map(small, rows)):
            case = realise(recipe)
            yield Call(case, cotangents_of(case))


def _of_search(
    backend: Backend,
    rows: list[Recipe],
    dtypes: list[str],
    probes: Callable[[Backend, str], Iterable[Probe]],
    vary: Vary,
) -> Iterator[Call]:
    for probe in probes(backend, dtypes[0]):
        yield from probe.calls
        if probe.again is not None:
            yield from (probe.again(100 + k) for k in range(probe.times))
    for one in fresh_cases(backend, lambda call: Reply(), (), float("inf"), vary=vary, dtypes=dtypes):
        yield one.call
        if one.call.cotangents is None:
            # Where something goes wrong shows in the layers below as well.
            yield from (Call(one.call.case.prefix(k)) for k in range(1, one.call.case.config.num_layers))
    for row in rows:
        if row.dtype in dtypes:
            for recipe in (replace(row, turn=0), *islice(reseeded(row), _AGAIN)):
                yield vary(recipe, realise(recipe), Random(recipe.seed))
