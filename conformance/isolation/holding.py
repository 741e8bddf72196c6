"""How a child process is started that holds a target, and what it says of the target."""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn

from conformance.backend import Backend
from conformance.errors import Ended, SuiteError, UsageError
from conformance.facts import NotJudged, Outcome
from conformance.facts.weights import WeightsCompared
from conformance.processes.message import Message
from conformance.processes.supervisor import Child, Limits
from conformance.processes.wire.fields import capabilities_from_fields
from conformance.report.records import decode
from conformance.spec import LSTMConfig, Params
from conformance.targets.load import located

#: Loads this very copy of the suite in any interpreter, then runs ``child.py``.
_BOOTSTRAP = """
import sys
sys.path[:1] = []
import importlib.util
if sys.version_info < (3, 11):
    sys.exit("lstm-conformance needs Python 3.11 or newer; this is " + sys.version.split()[0])
for name in ("conformance", "implementations"):
    place = sys.argv[1] + "/" + name
    spec = importlib.util.spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
from conformance.isolation.child import main
main()
"""

#: Bytes of elements that a child may send at once: an answer is text, a fixed model has its params.
SMALL, LARGE = 1 << 20, 1 << 30


class Held(NamedTuple):
    """A target in a child process."""

    child: Child
    #: The backend as it declares itself; it cannot be built in this process.
    backend: Backend
    #: The versions of the frameworks that the child has loaded, by name.
    frameworks: dict[str, str]


def hold(target: str, limits: Limits, python: str) -> Held:
    """Start a child, of another interpreter if one is named, and have it find the target.

    Raises ``UsageError`` for a target that is none, and ``Ended`` if the child ends, or takes too long.
    """
    with _asked({"type": "hold", "target": target}, limits, python) as child:
        found = _found(child, limits)
        return Held(child, _declared(found, python), json.loads(found.fields["frameworks"]))


def listed(target: str, weights: str, limits: Limits, python: str) -> tuple[list[str], list[WeightsCompared]]:
    """The targets in a model's file and how its weights compare, as ``exported.expand`` says in a child.

    Raises ``UsageError`` as that does, and for a file that ends the child.
    """
    try:
        with _asked({"type": "list", "target": target, "weights": weights}, limits, python) as child:
            fields = received(child, limits.start, LARGE).fields
    except Ended as ended:
        raise UsageError(f"{target}: reading it ended the process: {ended}") from None
    child.close()
    return json.loads(fields["targets"]), [decode(WeightsCompared, each) for each in json.loads(fields["compared"])]


@contextmanager
def _asked(fields: Mapping[str, str], limits: Limits, python: str) -> Iterator[Child]:
    """A child that was started, and asked one thing about a target; it is ended if the answer is an exception."""
    command, target = [python or sys.executable, "-c", _BOOTSTRAP, str(Path(__file__).parents[2])], fields["target"]
    child = Child(command, target, limits)
    try:
        try:
            child.receive(limits.start, SMALL)
        except Ended as ended:
            raise UsageError(
                f"the suite does not run in {command[0]}: {ended}", "it needs Python 3.11 or newer, and NumPy"
            ) from None
        path = _own_path() if python else sys.path
        more = {"place": located(target), "path": json.dumps(path), "replace_path": str(not python)}
        child.send(Message({**fields, **more}), limits.start)
        yield child
    except BaseException:
        child.kill()
        raise


def received(child: Child, seconds: float, limit: int = SMALL) -> Message:
    """The next message that says something: beats only say that the child is at work."""
    while True:
        message = child.receive(seconds, limit)
        if message.type == "usage":
            raise UsageError(message.fields["message"], message.fields["hint"])
        if message.type == "defect":
            raise SuiteError(message.fields["message"])
        if message.type != "beat":
            return message


def _found(child: Child, limits: Limits) -> Message:
    """What the child has found: its import may take long, and each call of a probe as long as any other call."""
    message = received(child, limits.start, LARGE)
    while message.type == "calling":
        call, seconds = message.fields, limits.seconds
        try:
            message = received(child, seconds, LARGE)
        except Ended as ended:
            if ended.outcome != Outcome.TIMEOUT:
                raise
            told = f"{call['call']} did not return within {seconds:g} s on {call['case']}"
            raise Ended(ended.outcome, told) from None
    return message


def _declared(message: Message, python: str) -> Backend:
    """The backend that a child describes; ``python`` is its interpreter, if it is another one."""
    fields = message.fields
    reason = fields.get("unavailable")
    capabilities = capabilities_from_fields(fields, message.tensors)
    # A dtype that the other environment cannot hold is not asked.
    unheld = fields["cannot_hold"].split() if python else []
    judged = tuple(dtype for dtype in capabilities.dtypes if dtype not in unheld)
    capabilities = replace(capabilities, dtypes=judged or capabilities.dtypes)
    # The report's own environment is that of this process.
    own = f"held by {python}: {fields['environment']}" if python else ""
    if python and len(judged) < len(fields["dtypes"].split()):
        own += f"; without {fields['cannot_hold']}, which it cannot hold"
    return Backend(
        name=fields["name"],
        capabilities=replace(capabilities, threads=fields["threads"] == "True"),
        build=_elsewhere,
        available=lambda: reason,
        ruled_out=frozenset(fields["ruled_out"].split()),
        note="; ".join(part for part in (fields["note"], own) if part),
        not_judged=tuple(decode(NotJudged, each) for each in json.loads(fields["not_judged"])),
        origin=fields["origin"],
        own_name=fields["own_name"],
        version=fields["version"],
    )


def _elsewhere(config: LSTMConfig, params: Params) -> NoReturn:
    raise AssertionError("an isolated backend is built in its own process")


def _own_path() -> list[str]:
    """The folders of ``sys.path`` that belong to no environment: another one's interpreter finds modules there too."""
    library = sysconfig.get_paths()["stdlib"]
    own = [Path(entry) for entry in sys.path if entry and Path(entry).suffix != ".zip"]
    return [
        str(p) for p in own if not {"site-packages", "dist-packages"} & {*p.parts} and not p.is_relative_to(library)
    ]
