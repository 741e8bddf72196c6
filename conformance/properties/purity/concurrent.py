"""Calls at the same time do not disturb each other."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from conformance.cases.case import Case
from conformance.properties.model import pairs, prop
from conformance.properties.purity.calls import other_values
from conformance.trials.outcomes import within
from conformance.trials.trial import Trial

T = TypeVar("T")

#: Whether both calls are of one model, and whether they are long.
_MODELS_AND_LENGTHS = pairs((False, True), (True, False))


def _long(trial: Trial) -> Trial:
    """The trial of calls so long that two of them overlap, even of a compiled library."""
    declared = trial.backend.capabilities
    if declared.fixed or declared.compiled:
        return trial
    r = trial.recipe
    rows = 4 if declared.batch and not r.unbatched else 1
    return trial.resized(H=32, L=200, N=rows, proj=min(r.proj, 8), layers=min(r.layers, 2))


@prop("purity.threads", needs=("threads",), every=16, turns=len(_MODELS_AND_LENGTHS))
def threads(trial: Trial) -> None:
    """Calls from two threads at once do not disturb each other, be they calls of two models or of one.

    onnxruntime#21288 and #1162 of two models; onnxruntime#1544 and ncnn#4008 of one, whose buffers and lengths belonged
    to the model and not to the call. A static buffer in C is one of the library, whatever model is called.
    """
    one_model, overlap = trial.in_turn(_MODELS_AND_LENGTHS)
    trial = _long(trial) if overlap else trial
    case, other = trial.case, other_values(trial).case
    model = trial.model(case)
    if not one_model:
        other, second, which = (case if case.fixed else other), None, "another model"
    else:
        # Buffers may be kept for the shapes of the last call: long calls are of one shape, others of two.
        other = replace(other, params=case.params) if overlap else of_same_model(trial, other)
        second, which = model, "the same model"
    second = second or trial.model(other)
    with within(f"beside a call of {which} in another thread", case):
        own, beside = at_once(lambda: trial.run(case, model), lambda: trial.run(other, second))
        for result in own:
            trial.require_repeated(result)
        for result in beside:
            trial.require_repeated(result, other)


def of_same_model(trial: Trial, other: Case) -> Case:
    """A case of the trial's own model with the values of ``other``, and other lengths or more steps."""
    case = trial.case
    if case.lengths is not None or trial.backend.capabilities.compiled:
        return replace(other, config=case.config, params=case.params)
    x = np.resize(other.x, (case.steps + 2, *other.x.shape[1:]))
    return replace(other, config=case.config, params=case.params, x=x)


def at_once(mine: Callable[[], T], other: Callable[[], T]) -> tuple[list[T], list[T]]:
    """The results of three calls of ``mine`` in one thread, and of ``other`` in another thread meanwhile."""
    own: list[T] = []
    beside: list[T] = []
    errors: list[BaseException] = []
    together, done = threading.Barrier(2), threading.Event()

    def thrice() -> None:
        for _ in range(3):
            own.append(mine())
            if done.is_set():
                return

    def meanwhile() -> None:
        beside.append(other())
        while not done.is_set():
            beside.append(other())

    def work(task: Callable[[], None]) -> None:
        try:
            together.wait(timeout=60)
            task()
        except BaseException as error:
            errors.append(error)
        finally:
            if task is thrice or errors:
                done.set()

    workers = [threading.Thread(target=work, args=(task,), daemon=True) for task in (thrice, meanwhile)]
    # Python's threads take turns far more often than usual, so that short calls overlap too.
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(usual)
    if errors:
        raise errors[0]
    # However many the other thread has made.
    return own, beside[:3]
