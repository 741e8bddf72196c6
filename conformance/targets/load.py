"""A backend of Python code: by a registered name, ``module:attribute``, ``path/to/file.py:attribute``, or itself.

A model's file is a target too: ``exported`` has those.

The attribute is a ``Backend``, a bare ``build`` function, or a torch ``nn.Module`` class with nn.LSTM's constructor and
state_dict.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from conformance.backend import Backend, Capabilities, Unsupported
from conformance.errors import UsageError, nearest
from conformance.spec import LSTMConfig, Params
from conformance.targets import exported, registry
from conformance.targets.probe import probed
from conformance.trials.frames import frames


def load(target: str | Backend | Callable[..., Any]) -> Backend:
    """The backend that a target names; a ``Backend``, a build function or an nn.Module class may be given itself.

    Raises ``UsageError`` for a name nobody registered (with near matches), a module or file that does not import (with
    its own traceback), and an attribute that does not exist or is no backend.
    """
    if not isinstance(target, str):
        return target if isinstance(target, Backend) else _from_object(target, getattr(target, "__name__", "target"))
    if (model := exported.parse(target)) is not None:
        return exported.load(model)
    known, point = registry.registered.get(target), registry.installed().get(target)
    # The module of an installed name has registered it, if it is loaded by now; the package still says its version.
    if known is not None and (point is None or point.module not in sys.modules):
        return known
    if point is not None:
        return _installed(target, point)
    if target.endswith(".py"):
        return _only_candidate(target, _load_file(target, Path(target)))
    place, colon, attribute = target.rpartition(":")
    if not colon:
        raise _unknown(target)
    if place.endswith(".py"):
        module = _load_file(target, Path(place))
    else:
        sys.path[:0] = [""] if "" not in sys.path else []
        module = _import(target, lambda: importlib.import_module(place))
    return replace(_named(target, module, attribute), version=_version(module))


def load_at(target: str, place: str) -> Backend:
    """The backend of a target; of what is not installed here, a name or a reader, the one at ``module:attribute``."""
    if not place or target in registry.names() or exported.parse(target):
        return load(target)
    if (model := exported.parse(target, installed=False)) is not None:
        return exported.load(model, place)
    return _installed(target, EntryPoint(target, place, registry.GROUP))


def located(target: str) -> str:
    """``module:attribute`` of what a package registers: a name's backend, or the reader of a model's file."""
    return registry.located(target) or exported.located(target)


def _installed(target: str, point: EntryPoint) -> Backend:
    """The backend of an entry point; where a package it needs is not installed, one that is unavailable for that."""
    try:
        module = _import(target, lambda: importlib.import_module(point.module))
    except UsageError as error:
        package = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if package is None or f"{point.module}.".startswith(f"{package}."):
            raise
        reason = f"{package} is not installed"
        return Backend(target, Capabilities(), _not_here, lambda: reason)
    version = getattr(point.dist, "version", "")
    return replace(_named(target, module, point.attr), version=version or _version(module))


def _version(module: ModuleType) -> str:
    """The version of the package that a module belongs to, by the package's own word, or nothing."""
    told = getattr(sys.modules.get(module.__name__.partition(".")[0], module), "__version__", "")
    return told if isinstance(told, str) else ""


def _not_here(config: LSTMConfig, params: Params) -> NoReturn:
    raise Unsupported("a package that it needs is not installed")


def _unknown(name: str) -> UsageError:
    known = registry.names()
    near = nearest(name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else "a target is a name of `list`, module:attr or file.py:attr"
    return UsageError(f"no backend is named {name!r}; known are {', '.join(known) or 'none'}", hint)


def _load_file(target: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"target {target!r}: there is no file {str(path)!r}", "give a path relative to this folder")
    path = path.resolve()
    loaded = next((m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(path)), None)
    if loaded is not None:
        return loaded
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    name = path.stem if path.stem not in sys.modules and path.stem.isidentifier() else f"lstm_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.modules[name] = module
    try:
        _import(target, lambda: loader.exec_module(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(target: str, load: Callable[[], Any]) -> Any:
    """The result of ``load``, or a ``UsageError`` with the exception and the places in the target's own code."""
    try:
        return load()
    except UsageError:
        raise
    except Exception as error:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        told = [f"{type(error).__name__}: {text or 'no message'}", *(f"  {frame}" for frame in frames(error))]
        place = target.partition(":")[0]
        itself = isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}.")
        hint = "name a module that can be imported from this folder, or a file: path/to/file.py:attr" if itself else ""
        raise UsageError(f"target {target!r} fails to import: " + "\n".join(told), hint) from error


def _named(target: str, module: ModuleType, attribute: str) -> Backend:
    if not hasattr(module, attribute):
        near = nearest(attribute, _candidates(module)) or _candidates(module)
        raise UsageError(
            f"target {target!r}: {module.__name__} has no attribute {attribute!r}",
            f"it has {', '.join(near)}" if near else "it defines no backend, build function or nn.Module class",
        )
    return _from_object(getattr(module, attribute), target)


def _only_candidate(target: str, module: ModuleType) -> Backend:
    found = _candidates(module)
    backends = [name for name in found if isinstance(getattr(module, name), Backend)] or found
    if len(backends) != 1:
        raise UsageError(
            f"target {target!r} does not say which attribute to judge",
            f"write {target}:NAME with one of {', '.join(backends) or 'your build function'}",
        )
    return _named(f"{target}:{backends[0]}", module, backends[0])


def _candidates(module: ModuleType) -> list[str]:
    """The attributes defined in ``module`` that could be judged."""
    return [name for name, value in vars(module).items() if name[0] != "_" and _judgeable(value, module.__name__)]


def _judgeable(value: object, module: str) -> bool:
    if isinstance(value, Backend):
        return True
    return getattr(value, "__module__", None) == module and (
        inspect.isfunction(value) or registry.is_torch_module(value)
    )


def _from_object(value: Any, target: str) -> Backend:
    if isinstance(value, Backend):
        # Verdicts carry the name by which the backend can be found again.
        return replace(value, name=target, own_name=value.name)
    if registry.is_torch_module(value):
        # It loads torch, which is there by now.
        from conformance.torch_module import build_of  # noqa: PLC0415

        build = build_of(value)
    elif registry.is_torch_module(type(value)):
        own = type(value).__name__
        raise UsageError(f"target {target!r} is an instance of {own}, not the class", f"name the class {own} itself")
    elif callable(value) and not inspect.isclass(value):
        build = value
        _check_build_signature(value, target)
    else:
        told = f"the class {value.__name__}" if inspect.isclass(value) else f"a {type(value).__name__}"
        raise UsageError(
            f"target {target!r} is {told}, not a Backend, a build function or an nn.Module class",
            "write a function build(config, params) that returns forward(x, state=None) -> output, (h_n, c_n); "
            "`lstm-conformance new FILE` writes an example",
        )
    return probed(target, build, registry.origin(value))


def _check_build_signature(function: Callable[..., Any], target: str) -> None:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise UsageError(
            f"target {target!r} takes {inspect.signature(function)}, but a build function takes (config, params)",
            "it returns forward(x, state=None) -> output, (h_n, c_n); `lstm-conformance new FILE` writes an example",
        ) from None
    except ValueError:
        return
