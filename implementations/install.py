"""What an adapter says where its framework is not installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec


def needs(*modules: str, install: str) -> Callable[[], str | None]:
    """``available`` for a backend that imports ``modules``; ``install`` is the command that brings them."""

    def reason() -> str | None:
        lacking = [module for module in modules if find_spec(module) is None]
        return f"{' and '.join(lacking)} not installed: {install}" if lacking else None

    return reason
