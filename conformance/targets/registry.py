"""The registry: the backends that decorators have registered in this process, and those of installed packages.

A backend is defined with this module, so it loads the contract and nothing else.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from conformance.backend import Backend, Build, BuildStep, Capabilities, loop_over_time
from conformance.errors import UsageError

#: The entry points by which a package registers backends, and those that are judged only when they are named: they
#: need what is not installed with them, or take long.
GROUP, NAMED = "lstm_conformance.backends", "lstm_conformance.adapters"

#: The backends that were registered in this process, by name.
registered: dict[str, Backend] = {}


def backend(
    name: str,
    capabilities: Capabilities,
    available: Callable[[], str | None] | None = None,
    note: str | Callable[[], str] = "",
) -> Callable[[Build], Backend]:
    """Register ``build(config, params) -> forward``.

    ``available`` gives None, or the reason why it cannot run here; ``note`` is what the report says of it.
    """

    def register(build: Build) -> Backend:
        _check_decorated("backend", build, "build(config, params) -> forward")
        return _register(Backend(name, capabilities, build, _explained(available), note=note, origin=origin(build)))

    return register


def cell_backend(
    name: str,
    capabilities: Capabilities,
    available: Callable[[], str | None] | None = None,
    note: str | Callable[[], str] = "",
) -> Callable[[BuildStep], Backend]:
    """Register a one-step LSTM, ``build(config, params) -> step``; the suite supplies the loop over time."""
    for option in ("layers", "bidirectional", "batch_first", "unbatched", "lengths", "gradients", "dropout"):
        if getattr(capabilities, option):
            raise ValueError(f"cell backend {name!r} declares {option}, which a single step cannot have")

    def about(more: str) -> str:
        return "; ".join(["the suite supplies the loop over time", *[more] * bool(more)])

    told = about(note) if isinstance(note, str) else lambda: about(note())

    def register(build_step: BuildStep) -> Backend:
        _check_decorated("cell_backend", build_step, "build(config, params) -> step")
        build, ruled_out = loop_over_time(build_step), frozenset({"loop"})
        return _register(Backend(name, capabilities, build, _explained(available), ruled_out, told, origin(build_step)))

    return register


def _check_decorated(decorator: str, build: object, expected: str) -> None:
    """``UsageError`` for what cannot be meant; a class may stand for the function if its instances can be called."""
    if not inspect.isclass(build):
        told = None if callable(build) else f"a {type(build).__name__}"
        hint = "decorate the function"
    elif is_torch_module(build):
        told = f"the nn.Module class {build.__name__}"
        hint = f"leave the decorator out: the class is a target as it is, such as FILE.py:{build.__name__}"
    else:
        told = None if "__call__" in dir(build) and _takes_two(build) else f"the class {build.__name__}"
        hint = f"write a function that makes a {build.__name__} from config and params, and returns what is called"
    if told:
        raise UsageError(f"@{decorator} stands on {told}; expected a function {expected}", hint)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        # One that has no signature to be read.
        return True
    return True


def is_torch_module(value: object) -> bool:
    """Whether it is an nn.Module class; torch is loaded if it is."""
    torch = sys.modules.get("torch")
    return torch is not None and inspect.isclass(value) and issubclass(value, torch.nn.Module)


def _explained(available: Callable[[], str | None] | None) -> Callable[[], str | None]:
    """``available``, with an exception as the reason: a missing driver often shows as one. None is always available."""

    def reason() -> str | None:
        try:
            return None if available is None else available()
        except Exception as error:
            return f"available() raised {type(error).__name__}: {error}"

    return reason


def _register(new: Backend) -> Backend:
    old = registered.get(new.name)
    if old is not None and old.origin != new.origin:
        raise UsageError(
            f"backend {new.name!r} is registered twice: at {old.origin} and at {new.origin}",
            "give one of them another name",
        )
    registered[new.name] = new
    return new


def origin(function: Callable[..., Any]) -> str:
    """Where a function was defined, as "file:line"."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def names() -> list[str]:
    """Every name that can be run: those registered in this process and those of installed entry points."""
    return list(dict.fromkeys([*installed(), *registered]))


def usual() -> list[str]:
    """The names that are run when none is given."""
    named = installed(NAMED)
    return [name for name in names() if name not in named]


def installed(*groups: str) -> dict[str, EntryPoint]:
    """The backends that installed packages register, by name: of both groups of entry points, if none is given."""
    return {point.name: point for group in groups or (GROUP, NAMED) for point in entry_points(group=group)}


def located(target: str) -> str:
    """``module:attribute`` of a name that an installed package registers; nothing for other targets."""
    point = installed().get(target)
    return "" if point is None else f"{point.module}:{point.attr}"
