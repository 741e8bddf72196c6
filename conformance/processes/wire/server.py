"""A Python backend served by the wire protocol: ``lstm-conformance serve TARGET``, the reference server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from conformance.backend import Backend, Unsupported, unavailable
from conformance.processes.message import Garbled, Message, Stream, decode, encode, write
from conformance.processes.wire.client import PROTOCOL
from conformance.processes.wire.fields import capabilities_to_fields, config_from_fields
from conformance.spec import Array, Result, numpy_dtype, param_shapes
from conformance.trials.calls import unpack
from conformance.version import __version__

#: Bytes of elements that one request may have.
_LIMIT = 1 << 32

#: Characters of an error's message.
_LONGEST = 1 << 14


class _Refused(Exception):
    """The request is bad."""


def serve(backend: Backend, incoming: int = 0, outgoing: int = 1) -> None:
    """Answer requests on two descriptors until there are no more; the backend's prints go to standard error.

    Raises ``Garbled`` for bytes that are no message: nothing that follows them could be understood.
    """
    stream, out = Stream(os.dup(incoming)), os.dup(outgoing)
    if outgoing == 1:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
    models: dict[str, tuple[Callable[..., Any], Any]] = {}
    while (request := decode(stream, _LIMIT)) is not None:
        write(out, writable(answer(backend, models, request)))


def writable(response: Message) -> Message:
    """The response, or the error that it cannot be written: a message does not hold every dtype."""
    try:
        encode(response)
    except ValueError as error:
        return Message({"type": "error", "kind": "failed", "message": str(error)})
    return response


def answer(backend: Backend, models: dict[str, Any], request: Message) -> Message:
    """The response to a request, or the error that it ends in."""
    try:
        return _respond(backend, models, request)
    except Unsupported as reason:
        kind, message = "unsupported", str(reason)
    except (_Refused, Garbled, ValueError) as error:
        kind, message = "refused", str(error)
    except (Exception, SystemExit) as error:
        kind, message = "failed", f"{type(error).__name__}: {error}"
    return Message({"type": "error", "kind": kind, "message": message[:_LONGEST]})


def _respond(backend: Backend, models: dict[str, Any], request: Message) -> Message:
    fields, tensors = request.fields, request.tensors
    if request.type == "hello":
        return _hello(backend)
    if request.type == "build":
        config = config_from_fields(fields)
        shapes = {name: value.shape for name, value in tensors.items()}
        if backend.capabilities.fixed is None and shapes != param_shapes(config):
            raise _Refused(f"the params of this config are {param_shapes(config)}, got {shapes}")
        wrong = [name for name, value in tensors.items() if value.dtype != numpy_dtype(config.dtype)]
        if wrong:
            raise _Refused(f"{wrong[0]} is {tensors[wrong[0]].dtype}, the config says {config.dtype}")
        models[fields["model"]] = backend.build(config, {name: value.copy() for name, value in tensors.items()})
        return Message({"type": "built"})
    model = models.get(fields.get("model", ""))
    if model is None:
        raise _Refused(f"there is no model {fields.get('model', '')!r}")
    if request.type == "release":
        del models[fields["model"]]
        return Message({"type": "released"})
    if request.type == "forward":
        return Message({"type": "result"}, _parts(_called(model, tensors)))
    if request.type == "vjp":
        x, state, lengths = _arguments(tensors)
        cotangents = [_given(tensors, name) for name in ("grad_output", "grad_h_n", "grad_c_n")]
        result, grads = model.vjp(x, state, lengths, *cotangents)
        return Message({"type": "result"}, _parts(result) | {f"grad_{name}": value for name, value in grads.items()})
    raise _Refused(f"there is no request of type {request.type!r}")


def _hello(backend: Backend) -> Message:
    told = {"type": "hello", "protocol": PROTOCOL, "name": backend.name, "version": __version__}
    told |= capabilities_to_fields(backend.capabilities) | {"note": backend.remark()}
    if reason := unavailable(backend):
        told["unavailable"] = reason
    fixed = backend.capabilities.fixed
    return Message(told, {} if fixed is None else dict(fixed[1]))


def _called(model: Callable[..., Any], tensors: Mapping[str, Array]) -> Any:
    x, state, lengths = _arguments(tensors)
    if lengths is not None:
        return model(x, state, lengths=lengths)
    return model(x) if state is None else model(x, state)


def _arguments(tensors: Mapping[str, Array]) -> tuple[Array, Any, Array | None]:
    """x, state and lengths as a call in one process is handed them."""
    state = (_given(tensors, "h_0"), _given(tensors, "c_0")) if "h_0" in tensors or "c_0" in tensors else None
    return _given(tensors, "x"), state, tensors["lengths"].copy() if "lengths" in tensors else None


def _given(tensors: Mapping[str, Array], name: str) -> Array:
    if name not in tensors:
        raise _Refused(f"the request has no tensor {name}")
    return tensors[name].copy()


def _parts(returned: Any) -> dict[str, Array]:
    result = unpack(returned)
    return {name: part for name, part in zip(Result._fields, result, strict=True) if part is not None}
