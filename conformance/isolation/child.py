"""The child's side of isolation: it holds one backend, and answers inquiries until its input ends.

Messages have descriptors of their own: the backend's prints go to standard error.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

from conformance.backend import OPTIONAL_METHODS, Backend, can_be_called, unavailable
from conformance.cases.case import Case
from conformance.cases.recipe import parse
from conformance.engine.judging import Here, Inquiry
from conformance.engine.reply import Reply
from conformance.errors import UsageError
from conformance.processes.message import Message, Stream, decode, write
from conformance.processes.parcel import pack_events, pack_performed, unpack, unpack_events
from conformance.processes.wire.fields import capabilities_to_fields
from conformance.properties import catalogue
from conformance.report.environment import environment, frameworks
from conformance.report.records import encode
from conformance.spec import DTYPES, LSTMConfig, Params, dtype_unavailable
from conformance.targets import exported
from conformance.targets.load import load_at
from conformance.trials.calls import listeners
from conformance.trials.events import Event

#: Seconds of work after which a call that begins says so.
_BETWEEN_BEATS = 0.5

#: Bytes of elements that a request may have: those of a case.
_REQUEST = 1 << 30


def main() -> None:
    """Say that the suite has loaded, then do as told, and end as any program does: a broken heap shows in that.

    Threads of the backend's that do not end are the parent's affair, which ends the process by force.
    """
    descriptors = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    faulthandler.enable()
    parent = _Parent(*descriptors)
    parent.tell("ready")
    try:
        _serve(parent)
    except UsageError as error:
        parent.tell("usage", message=error.args[0], hint=error.hint)
    except Exception:
        told = f"a defect of lstm-conformance; please report it:\n{traceback.format_exc().rstrip()}"
        parent.tell("defect", message=told)
    except BaseException:
        # SystemExit, KeyboardInterrupt and the like end a process, this one too.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


class _Parent:
    """The messages to and from the parent; those of several threads do not mix."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._stream = Stream(incoming)
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._owner = os.getpid()

    def receive(self) -> Message | None:
        """The next request, None at the end."""
        message = decode(self._stream, _REQUEST)
        self._last = time.monotonic()
        return message

    def tell(self, type: str, **fields: str) -> None:
        """Send a message of fields."""
        self.send(Message({"type": type, **fields}))

    def send(self, message: Message) -> None:
        """Send a message; a copy of this process that a backend has forked has none to send."""
        if os.getpid() != self._owner:
            os._exit(0)
        with self._lock:
            write(self._outgoing, message)
            self._last = time.monotonic()

    def beat(self) -> None:
        """Say that a call begins, if nothing has been said for a while."""
        if time.monotonic() - self._last > _BETWEEN_BEATS:
            self.tell("beat")


def _serve(parent: _Parent) -> None:
    request = parent.receive()
    assert request is not None
    if request.type == "list":
        return _list(parent, request)
    backend = _hold(parent, request)
    judge, known = Here(backend, ran=lambda: parent.tell("ran")), catalogue()
    while (request := parent.receive()) is not None:
        fields = request.fields
        if request.type == "ask":
            words = [word.partition(":") for word in fields["inquiries"].split()]
            inquiries = [Inquiry(known[id], int(turn)) for id, _, turn in words]
            for _, answer in judge.ask(parse(fields["recipe"]), inquiries, stop=fields["stop"] == "True"):
                parent.tell("answer", answer=json.dumps(encode(answer)))
            parent.tell("done", signatures=str(judge.signatures), frameworks=json.dumps(judge.frameworks))
        elif request.type == "run":
            judge.run(parse(fields["recipe"]))
            parent.tell("done")
        elif request.type == "call":
            parent.send(_told(judge.call(*unpack(request))))
        elif request.type == "record":
            id, _, turn = fields["inquiry"].partition(":")
            recipes = [parse(text) for text in json.loads(fields["recipes"])]

            def tell(event: Event | None) -> None:
                if event is not None:
                    parent.send(pack_events([event]))

            _, answer = judge.record(recipes, Inquiry(known[id], int(turn)), tell)
            parent.tell("answer", answer=json.dumps(encode(answer)))
        elif request.type == "events":
            parent.send(pack_performed(judge.perform(unpack_events(request))))
        elif request.type == "evidence":
            parent.tell("evidence", evidence=json.dumps(encode(judge.evidence())))
        else:
            parent.tell("abilities", abilities=json.dumps([encode(each) for each in judge.probe()]))


def _told(reply: Reply) -> Message:
    """A reply as a message."""
    told = {"type": "reply", "fact": json.dumps(encode(reply.fact))}
    tensors = {} if reply.result is None else {k: v for k, v in reply.result._asdict().items() if v is not None}
    told["gradients"] = " ".join(reply.gradients or ())
    return Message(told, tensors | {f"grad_{name}": value for name, value in (reply.gradients or {}).items()})


def _list(parent: _Parent, request: Message) -> None:
    """Say which targets a model's file has, and how its weights compare with the trained ones."""
    fields = request.fields
    _set_path(fields)
    targets, told = exported.expand(fields["target"], fields["weights"], fields["place"])
    parent.tell("listed", targets=json.dumps(targets), compared=json.dumps([encode(each) for each in told]))


def _set_path(fields: Mapping[str, str]) -> None:
    path = json.loads(fields["path"])
    sys.path[:] = path if fields["replace_path"] == "True" else [*sys.path, *path]


def _hold(parent: _Parent, request: Message) -> Backend:
    """Find the backend that the parent names, and send its declaration."""
    fields = request.fields
    _set_path(fields)

    def calling(what: str, case: Case) -> None:
        parent.tell("calling", call=what, case=case.describe())

    # What declares nothing is probed, and may hang in any of these calls.
    listeners.append(calling)
    backend = load_at(fields["target"], fields["place"])
    listeners.remove(calling)
    told = capabilities_to_fields(backend.capabilities)
    told |= {"type": "held", "name": backend.name, "note": backend.remark(), "origin": backend.origin}
    told |= {"own_name": backend.own_name, "version": backend.version}
    told |= {"ruled_out": " ".join(sorted(backend.ruled_out)), "threads": str(backend.capabilities.threads)}
    told["not_judged"] = json.dumps([encode(each) for each in backend.not_judged])
    told["cannot_hold"] = " ".join(dtype for dtype in DTYPES if dtype_unavailable(dtype))
    told["frameworks"] = json.dumps(frameworks())
    told["environment"] = ", ".join(f"{name} {version}" for name, version in (frameworks() | environment()).items())
    if reason := unavailable(backend):
        told["unavailable"] = reason
    fixed = backend.capabilities.fixed
    parent.send(Message(told, {} if fixed is None else fixed[1]))
    return replace(backend, build=_beating(backend.build, parent.beat))


def _beating(build: Callable[..., Any], beat: Callable[[], None]) -> Callable[..., Any]:
    """``build``, each of whose calls says that it begins: so the parent's limit is one for each call."""

    def announced(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def announce(*args: Any, **kwargs: Any) -> Any:
            beat()
            return function(*args, **kwargs)

        return announce

    def built(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        beat()
        model = build(config, params)
        if not can_be_called(model):
            return model
        forward = announced(lambda *args, **kwargs: model(*args, **kwargs))
        for method in OPTIONAL_METHODS:
            if hasattr(model, method):
                setattr(forward, method, announced(getattr(model, method)))
        return forward

    return built
