"""What a format needs that NumPy has not."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from conformance.errors import UsageError


def needed(module: str, format: str) -> Any:
    """A module of another package; ``UsageError`` says how to get it, if it does not load."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(
            f"the format {format} needs {package}, which does not load: {error}",
            'pip install "lstm-conformance[vectors]"',
        ) from None
