"""lstm-conformance: does this LSTM compute what torch.nn.LSTM computes, and if not, what exactly is wrong?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from conformance.backend import Backend, Capabilities, Unsupported, reorder
from conformance.guard import guard
from conformance.spec import LSTMConfig
from conformance.targets.registry import backend, cell_backend
from conformance.version import __version__

if TYPE_CHECKING:
    from conformance.drivers.pytest_request import conformance_tests
    from conformance.drivers.run import check_backend

__all__ = [
    "Backend",
    "Capabilities",
    "LSTMConfig",
    "Unsupported",
    "__version__",
    "backend",
    "cell_backend",
    "check_backend",
    "conformance_tests",
    "guard",
    "reorder",
]

#: They load the engine and Hypothesis when they are first asked for: a backend is defined without these.
_LAZY = {"check_backend": "conformance.drivers.run", "conformance_tests": "conformance.drivers.pytest_request"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
