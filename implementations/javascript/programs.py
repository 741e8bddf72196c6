"""LSTMs in JavaScript, each a program under Node that speaks the wire protocol, as backends with names.

A program is started when its backend is asked for: it says itself what it can do.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NoReturn

from conformance import Backend, Capabilities, LSTMConfig, Unsupported
from conformance.errors import Ended, UsageError
from conformance.processes.wire.client import program
from conformance.spec import Params

HERE = Path(__file__).parent

#: The folder, in which npm installs, and the program of each backend.
PROGRAMS = {
    "recurrent_js": (HERE, "recurrent_js.mjs"),
    "onnxruntime_node": (HERE, "onnxruntime_node.mjs"),
    "onnxruntime_web": (HERE, "onnxruntime_web.mjs"),
    "tfjs": (HERE.parent / "tfjs_lstm", "main.mjs"),
}


def __getattr__(name: str) -> Backend:
    if name not in PROGRAMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return started(name)


@cache
def started(name: str) -> Backend:
    """The backend of a running program, or one that is unavailable."""
    folder, script = PROGRAMS[name]
    try:
        return replace(program(f"exec:node '{folder / script}'"), name=name.replace("_", "-"))
    except (Ended, UsageError):
        reason = f"it does not start: npm install --prefix {folder}, with Node 18 or newer"
        return Backend(name.replace("_", "-"), Capabilities(), _not_here, lambda: reason)


def _not_here(config: LSTMConfig, params: Params) -> NoReturn:
    raise Unsupported("its program does not start")
