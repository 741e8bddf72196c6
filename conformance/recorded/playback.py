"""The backends of recordings: one looks its answers up, and one keeps what it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conformance.backend import Backend, Build, Capabilities, Unsupported
from conformance.facts import Unanswered
from conformance.faults import twin_backend
from conformance.faults.living import Living
from conformance.faults.twin import Arguments, Twin
from conformance.processes.wire.client import Failed, Refused
from conformance.recorded.calls import PARTS, Call, Model, Naming, arguments
from conformance.recorded.container import from_bits
from conformance.spec import Array, LSTMConfig, Params, State
from conformance.trials.outcomes import NotAnswered

#: What recorded calls cannot show: views and shared memory, and what is seen while calls are made.
RULED_OUT = frozenset({"views", "memory", "live"})


@dataclass(frozen=True, eq=False)
class Answer:
    """What a program answered to a call: arrays by name, or an error of a kind of the wire protocol."""

    arrays: Mapping[str, Array] = field(default_factory=dict)
    #: "unsupported", "refused" or "failed"; nothing if it answered by arrays.
    error: str = ""
    message: str = ""


def recordable(capabilities: Capabilities) -> Capabilities:
    """Those of the capabilities that recorded calls can show: no threads."""
    return replace(capabilities, threads=False, compiled=False)


def played(name: str, capabilities: Capabilities, answers: Mapping[str, Answer], recorded: frozenset[str]) -> Backend:
    """The backend that gives recorded answers, by the digest of what it is called with.

    ``name`` is the target by which it is found again. A call without an answer raises ``NotAnswered``, which says
    whether it is among the ``recorded`` ones.
    """

    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        names = Naming(config, params)

        def looked_up(given: dict[str, Array]) -> Answer:
            id = names.call(given)
            answer = answers.get(id)
            if answer is None:
                raise NotAnswered(Unanswered(id in recorded))
            if answer.error:
                kinds = {"unsupported": Unsupported, "refused": Refused}
                raise kinds.get(answer.error, Failed)(answer.message or "no message")
            return answer

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
            return _result(config, looked_up(arguments(x, state, lengths)))

        def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
            answer = looked_up(arguments(x, state, lengths, cotangents))
            grads = {k.removeprefix("grad_"): v for k, v in answer.arrays.items() if k.startswith("grad_")}
            return _result(config, answer), {k: _own(config, v) for k, v in grads.items()}

        forward.vjp = vjp  # type: ignore[attr-defined]
        return forward

    return Backend(name, recordable(capabilities), build, ruled_out=RULED_OUT)


def _result(config: LSTMConfig, answer: Answer) -> Any:
    output, h_n, c_n = (answer.arrays.get(name) for name in PARTS)
    return _own(config, output), (_own(config, h_n), _own(config, c_n))


def _own(config: LSTMConfig, value: Array | None) -> Any:
    """A copy, which the caller may change; NumPy's files hold bfloat16 as its 16 bits."""
    if value is None:
        return None
    return (from_bits(value) if config.dtype == "bfloat16" else value).copy()


def _anything(twin: Twin, config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
    """A call's arguments as they are."""
    return x, state, lengths


class Collector:
    """The calls that a backend is asked, each once, by the model that is called.

    ``backend`` is a correct LSTM, and ``answering`` one that answers what may be refused.
    """

    def __init__(self, capabilities: Capabilities) -> None:
        self.models: dict[str, Model] = {}
        #: By the name of a model, its calls by their names.
        self.calls: dict[str, dict[str, Call]] = {}
        #: Bytes of the arrays.
        self.bytes = 0
        #: Outputs and final states that were returned: a call that is given one depends on an earlier answer.
        self._returned: set[bytes] = set()
        self.backend, self.answering = (
            Backend("recording", recordable(capabilities), self._build(build), ruled_out=RULED_OUT)
            for build in (twin_backend().build, Living(accept=_anything).build)
        )

    def _build(self, right: Build) -> Build:
        def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
            names, kept = Naming(config, params), {name: value.copy() for name, value in params.items()}
            model: Any = right(config, params)

            def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
                self._note(names, config, kept, arguments(x, state, lengths))
                output, finals = model(x, state, lengths)
                self._returned |= {_bytes(output), _bytes(*finals)}
                return output, finals

            def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
                self._note(names, config, kept, arguments(x, state, lengths, cotangents))
                return model.vjp(x, state, lengths, *cotangents)

            forward.vjp = vjp  # type: ignore[attr-defined]
            return forward

        return build

    def _note(self, names: Naming, config: LSTMConfig, params: Params, given: dict[str, Array]) -> None:
        model, id = names.model, names.call(given)
        if not self._returned.isdisjoint(_dependent(given)):
            return
        if id in self.calls.get(model, {}):
            return
        if model not in self.models:
            self.models[model] = Model(model, config, params)
            self.bytes += sum(value.nbytes for value in params.values())
        self.calls.setdefault(model, {})[id] = Call(id, {k: np.array(v, order="C") for k, v in given.items()})
        self.bytes += sum(value.nbytes for value in given.values())


def _dependent(given: Mapping[str, Array]) -> set[bytes]:
    """What a call may have from an earlier one: an output as its x, or its state. All zeros are nobody's."""
    found = {_bytes(given["x"])} if given["x"].any() else set[bytes]()
    if "h_0" in given and given["h_0"].any() and given["c_0"].any():
        found.add(_bytes(given["h_0"], given["c_0"]))
    return found


def _bytes(*values: Array) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for value in values:
        found.update(f"{value.shape}".encode() + value.tobytes())
    return found.digest()
