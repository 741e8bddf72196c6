"""A case, and the cotangents of its vjp, as a message, and back: for a child process, and for a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.processes.message import HELD, Message
from conformance.processes.wire.fields import config_from_fields, config_to_fields
from conformance.spec import Array
from conformance.trials.events import Event, Performed, from_data, to_data

_PARAM, _COTANGENT = "param.", "grad_"


def pack(case: Case, cotangents: Cotangents | None = None) -> Message:
    """The message of type "call" that holds a case, in canonical layout."""
    fields = {"type": "call", **config_to_fields(case.config), "view": case.view, "rule": case.rule}
    fields |= {"unbatched": str(case.unbatched), "fixed": str(case.fixed)}
    tensors: dict[str, Array] = {"x": case.x}
    if case.state is not None:
        tensors |= {"h_0": case.state[0], "c_0": case.state[1]}
    if case.lengths is not None:
        tensors["lengths"] = case.lengths
    tensors |= {_PARAM + name: value for name, value in case.params.items()}
    if cotangents is not None:
        tensors |= {_COTANGENT + name: value for name, value in cotangents._asdict().items()}
    return Message(fields, tensors)


def unpack(message: Message) -> tuple[Case, Cotangents | None]:
    """The case and the cotangents, if there are any, of a message that ``pack`` made."""
    fields, tensors = message.fields, message.tensors
    params = {name.removeprefix(_PARAM): value for name, value in tensors.items() if name.startswith(_PARAM)}
    case = Case(
        config_from_fields(fields),
        params,
        tensors["x"],
        (tensors["h_0"], tensors["c_0"]) if "h_0" in tensors else None,
        tensors.get("lengths"),
        fields["unbatched"] == "True",
        fields["view"],
        fields["rule"],
        fields["fixed"] == "True",
    )
    named = [_COTANGENT + name for name in Cotangents._fields]
    return case, Cotangents(*(tensors[name] for name in named)) if named[0] in tensors else None


def pack_events(events: Sequence[Event]) -> Message:
    """The message of type "events" that holds calls; the arrays of the k-th are named "k.x", "k.weight_ih_l0" …"""
    fields = {"type": "events", "events": json.dumps([to_data(event) for event in events])}
    named = {f"{k}.{name}": value for k, event in enumerate(events, 1) for name, value in event.arrays.items()}
    return Message(fields, named)


def unpack_events(message: Message) -> tuple[Event, ...]:
    """The calls of a message that ``pack_events`` made."""
    found = json.loads(message.fields["events"])
    return tuple(from_data(data, _of(message.tensors, f"{k}.")) for k, data in enumerate(found, 1))


def _of(tensors: Mapping[str, Array], start: str) -> dict[str, Array]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def pack_performed(performed: Performed) -> Message:
    """The message of type "performed" that says what became of some calls."""
    fields = {"type": "performed", "raised": performed.raised, "unsupported": str(performed.unsupported)}
    fields |= {"malformed": performed.malformed, "changed": json.dumps(performed.changed)}
    odd = {name: str(value.dtype) for name, value in performed.returned.items() if value.dtype.name not in HELD}
    fields |= {"shared": json.dumps(performed.shared), "odd": json.dumps(odd)}
    returned = {k: v.astype("float64") if k in odd else v for k, v in performed.returned.items()}
    return Message(fields, {f"returned.{name}": value for name, value in returned.items()})


def unpack_performed(message: Message) -> Performed:
    """What became of some calls, of a message that ``pack_performed`` made."""
    fields, returned = message.fields, _of(message.tensors, "returned.")
    returned |= {name: returned[name].astype(dtype) for name, dtype in json.loads(fields["odd"]).items()}
    return Performed(
        fields["raised"],
        fields["unsupported"] == "True",
        fields["malformed"],
        returned,
        tuple(json.loads(fields["changed"])),
        tuple(json.loads(fields["shared"])),
    )
