"""A case, and the cotangents of its vjp, as a message, and back: for a child process, and for a file."""

from __future__ import annotations

from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.processes.message import Message
from conformance.processes.wire.fields import config_from_fields, config_to_fields
from conformance.spec import Array

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
