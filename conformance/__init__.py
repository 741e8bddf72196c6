"""lstm-conformance: does this LSTM compute what torch.nn.LSTM computes, and if not, what exactly is wrong?"""

from typing import TYPE_CHECKING, Any

from conformance.backend import Backend, Capabilities, Unsupported, reorder
from conformance.spec import LSTMConfig
from conformance.targets.registry import backend, cell_backend

if TYPE_CHECKING:
    from conformance.drivers.pytest_plugin import conformance_tests
    from conformance.drivers.run import check_backend

__version__ = "0.1.0"

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
    "reorder",
]


def __getattr__(name: str) -> Any:
    # The engine and Hypothesis load when they are first asked for: backends are defined without them.
    if name == "check_backend":
        from conformance.drivers.run import check_backend

        return check_backend
    if name == "conformance_tests":
        from conformance.drivers.pytest_plugin import conformance_tests

        return conformance_tests
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
