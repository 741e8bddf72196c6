"""A program that speaks the wire protocol, as a backend: ``exec:COMMAND …``.

The program is started when the target is found, and again after it ended in the middle of a call; its models are then
built anew. Bytes carry no views, aliasing, mutation or threads, so these are not asked of a program.
"""

from __future__ import annotations

import itertools
import os
import shlex
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.backend import Backend, Unsupported
from conformance.errors import Ended, Gone, UsageError
from conformance.processes.message import Garbled, Message
from conformance.processes.supervisor import Child, Limits, Patience
from conformance.processes.wire.fields import capabilities_from_fields, config_to_fields
from conformance.spec import Array, LSTMConfig, Params, State

#: The beginning of a target that is a program; its command follows.
PROGRAM = "exec:"

PROTOCOL = "1"

#: A response may have so many times the bytes that its request accounts for, and so many more: the properties tell
#: wrong shapes.
_TIMES, _ROOM = 4, 1 << 20


def program(target: str, limits: Limits | None = None) -> Backend:
    """The backend of a target ``exec:COMMAND …``, as its hello tells.

    Raises ``UsageError`` for a command that cannot be started and for a hello that is none, ``Ended`` if it ends.
    """
    try:
        words = shlex.split(target.removeprefix(PROGRAM), posix=os.name != "nt")
    except ValueError as error:
        raise UsageError(f"target {target!r}: {error}", "does each quote have its pair?") from None
    if not words:
        raise UsageError(f"target {target!r} names no command", 'such as "exec:node lstm.mjs"')
    running = Program(words, target, limits or Limits())
    try:
        hello = running.hello()
        capabilities = capabilities_from_fields(hello.fields, hello.tensors)
    except Garbled as error:
        running.close()
        raise UsageError(f"{target}: its hello is wrong: {error}", "docs/protocol.md says what it holds") from None
    if capabilities.compiled:
        running.compiles()
    fields = hello.fields
    reason = fields.get("unavailable")
    version = f"{fields.get('name', '')} {fields.get('version', '')}".strip()
    return Backend(
        name=target,
        capabilities=replace(capabilities, threads=False),
        build=running,
        available=lambda: reason,
        ruled_out=frozenset({"views", "memory"}),
        note="; ".join(part for part in (version, fields.get("note", "")) if part),
        origin=target,
        own_name=fields.get("name", ""),
        version=fields.get("version", ""),
        process=running,
    )


class Program:
    """A running program. Calling it builds a model, as a backend's ``build`` does."""

    def __init__(self, words: list[str], target: str, limits: Limits) -> None:
        self._words = words
        self._target = target
        self._limits = limits
        self._patience = Patience(limits)
        #: Whether the calls that come are of a case that may hang like another.
        self.brief = False
        self._child: Child | None = None
        self._names = itertools.count(1)
        #: How often the program was started: models belong to one start.
        self._starts = 0
        self._released: list[tuple[int, str]] = []
        self._lock = threading.RLock()

    def compiles(self) -> None:
        """Give it the time of a program that compiles."""
        self._patience = Patience(self._limits, compiled=True)

    def hello(self) -> Message:
        """Start the program; its response to hello."""
        self._child = Child(self._words, self._target, self._limits)
        self._starts += 1
        self._released.clear()
        request = Message({"type": "hello", "protocol": PROTOCOL})
        try:
            response = self._exchange(request, "hello", self._limits.start, 1 << 30)
        except Ended as ended:
            if ended.outcome != "timeout":
                raise
            raise Ended("timeout", f"{ended} to hello: does it flush its output after each response?") from None
        if response.type == "error":
            raise Garbled(f"it says: {response.fields.get('message', '')}")
        if response.fields.get("protocol") != PROTOCOL:
            raise Garbled(f"its protocol is {response.fields.get('protocol')!r}, expected {PROTOCOL!r}")
        return response

    def close(self) -> Ended | None:
        """End the program; how it died, if a signal ended it after its last response."""
        child, self._child = self._child, None
        return None if child is None else child.close()

    def __call__(self, config: LSTMConfig, params: Params) -> Callable[..., Any]:
        """Build a model in the program."""
        model = Model(self, config, params)
        model.build()

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
            return model.forward(x, state, lengths)

        forward.vjp = model.vjp  # type: ignore[attr-defined]
        return forward

    def name(self) -> str:
        """A name that no model had."""
        return str(next(self._names))

    def release_with(self, model: Model, name: str) -> None:
        """Release what was built in the program when the model is gone."""
        weakref.finalize(model, self._released.append, (self._starts, name))

    def running(self) -> int:
        """Start the program if it is not running; the number of its starts by now."""
        if self._child is None:
            try:
                self.hello()
            except (Garbled, UsageError, Ended) as error:
                raise Gone(f"the program could not be started again: {error}") from None
        return self._starts

    def request(self, message: Message, expected: str, size: int) -> Message:
        """Send a request, and its response, which must be of a type or an error, with up to ``size`` bytes and some."""
        with self._lock:
            starts = self.running()
            # They were noted wherever garbage happened to be collected, perhaps in the middle of an exchange.
            while self._released:
                start, name = self._released.pop()
                if start == starts:
                    self._exchange(Message({"type": "release", "model": name}), "released", self._limits.seconds, 0)
            with self._patience.measured():
                response = self._exchange(message, expected, self._patience.seconds(self.brief), _TIMES * size + _ROOM)
        if response.type == "error":
            raise _error(response)
        return response

    def _exchange(self, message: Message, expected: str, seconds: float, limit: int) -> Message:
        child = self._child
        assert child is not None
        try:
            child.send(message, seconds)
            response = child.receive(seconds, limit)
        except Ended:
            self._child = None
            raise
        if response.type not in (expected, "error"):
            self.close()
            what = f"a message of type {response.type!r}" if response.type else "a message without a type"
            told = f"{self._target}: it answered {message.type!r} by {what}; expected {expected!r} or 'error'"
            raise Ended("error", told)
        return response


class Refused(Exception):
    """The program answered that the request is bad."""


class Failed(Exception):
    """The program answered that something went wrong."""


def _error(response: Message) -> Exception:
    kinds = {"unsupported": Unsupported, "refused": Refused}
    return kinds.get(response.fields.get("kind", ""), Failed)(response.fields.get("message", "no message"))


class Model:
    """A model in a program; built again where the program had to be started again."""

    def __init__(self, program: Program, config: LSTMConfig, params: Params) -> None:
        self._program = program
        self._config = config
        self._params = dict(params)
        self._start, self._name = 0, ""

    def build(self) -> None:
        """Build it, unless it has been."""
        start = self._program.running()
        if start != self._start:
            self._start, self._name = start, self._program.name()
            fields = self._fields("build") | config_to_fields(self._config)
            self._program.request(Message(fields, self._params), "built", 0)
            self._program.release_with(self, self._name)

    def forward(self, x: Array, state: State | None, lengths: Array | None) -> Any:
        """One call."""
        self.build()
        tensors = _arguments(x, state, lengths)
        return _result(self._program.request(Message(self._fields("forward"), tensors), "result", self._results(x)))

    def vjp(
        self,
        x: Array,
        state: State | None,
        lengths: Array | None,
        grad_output: Array,
        grad_h_n: Array,
        grad_c_n: Array,
    ) -> Any:
        """One vector-Jacobian product."""
        self.build()
        tensors = _arguments(x, state, lengths)
        tensors |= {"grad_output": grad_output, "grad_h_n": grad_h_n, "grad_c_n": grad_c_n}
        size = self._results(x) + x.nbytes + sum(value.nbytes for value in self._params.values())
        response = self._program.request(Message(self._fields("vjp"), tensors), "result", size)
        grads = {name[5:]: value.copy() for name, value in response.tensors.items() if name.startswith("grad_")}
        return _result(response), grads

    def _fields(self, type: str) -> dict[str, str]:
        return {"type": type, "model": self._name}

    def _results(self, x: Array) -> int:
        """Bytes of output, h_n and c_n, at most, for an x in any layout."""
        config = self._config
        rows = x.size // max(x.shape[-1], 1) if x.ndim else 1
        slots = config.num_layers * config.num_directions
        return (2 * rows + 2 * slots * max(rows, 1)) * config.hidden_size * x.itemsize


def _arguments(x: Array, state: State | None, lengths: Array | None) -> dict[str, Array]:
    tensors = {"x": x}
    if state is not None:
        tensors |= {"h_0": state[0], "c_0": state[1]}
    return tensors if lengths is None else {**tensors, "lengths": lengths}


def _result(response: Message) -> Any:
    """The parts, writable and of their own, as a backend in this process returns them."""
    output, h_n, c_n = (
        response.tensors[name].copy() if name in response.tensors else None for name in ("output", "h_n", "c_n")
    )
    return output, (h_n, c_n)
