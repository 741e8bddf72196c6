"""What adapters of frameworks share: what they say where the framework is not installed, and what is known to fail."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from conformance.errors import UsageError


def needs(*modules: str, install: str) -> Callable[[], str | None]:
    """``available`` for a backend that imports ``modules``; ``install`` is the command that brings them."""

    def reason() -> str | None:
        lacking = [module for module in modules if find_spec(module) is None]
        return f"{' and '.join(lacking)} not installed: {install}" if lacking else None

    return reason


def require(*modules: str, install: str) -> None:
    """Raise ``UsageError`` unless ``modules`` are installed, for a reader of files that imports them."""
    if reason := needs(*modules, install=install)():
        package, _, command = reason.partition(": ")
        raise UsageError(f"it needs a package: {package}", command)


def finding(page: str, *properties: str) -> dict[str, str]:
    """``expected_failures`` of properties that fail for one reason, with the page in docs/findings that shows it."""
    return dict.fromkeys(properties, f"docs/findings/{page}.md")


def refusals(*names: str) -> tuple[str, ...]:
    """The properties of that group by their names in it."""
    return tuple(f"refusals.{name}" for name in names)


#: The properties that break where a state that does not fit is broadcast: those of a cell.
STATES_BROADCAST = refusals("state-shape", "broadcast-state", "batch-mismatch", "reshaped-state", "state-rank")

#: The same of a layer, which does not compare x with its state either.
STATES_UNCHECKED = ("refusals.reshaped-x", *STATES_BROADCAST)

#: The properties that a NaN which comes out as a number breaks.
NAN_HIDDEN = ("nonfinite.nan-kept", "nonfinite.nan-state", "nonfinite.nan-weight")
