"""lstm-conformance: does this LSTM compute what torch.nn.LSTM computes, and if not, what exactly is wrong?

Ask it of an nn.Module class with nn.LSTM's constructor and state_dict, or of a function ``build(config, params)``::

    from conformance import check_backend

    report = check_backend(MyLSTM)  # the whole suite; only="values" asks one group
    report                          # the table
    print(report)                   # the table, and each failure with its smallest case
    report.conformant               # True or False
    report.failures                 # the verdicts that make it False

``backend`` and ``cell_backend`` declare what an LSTM of any other form can do (``Capabilities``), ``guard`` and
``reorder`` help to write one, and so does the module ``conformance.torch_module`` where it is made of torch.
``conformance_tests`` is the same suite as pytest items, and ``lstm-conformance run`` is the command line.
docs/backends.md is the manual.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from conformance.backend import Backend, Capabilities, Unsupported, reorder
from conformance.guard import guard
from conformance.spec import LSTMConfig
from conformance.targets.registry import backend, cell_backend
from conformance.version import __version__

if TYPE_CHECKING:
    from conformance.drivers.notebook import check_backend
    from conformance.drivers.pytest_request import conformance_tests

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
_LAZY = {"check_backend": "conformance.drivers.notebook", "conformance_tests": "conformance.drivers.pytest_request"}


#: The package without which one of them is not there.
_NEEDS = {"conformance_tests": "pytest", "torch_module": "torch"}


def __getattr__(name: str) -> Any:
    if name == "torch_module":
        # It imports torch, and is an attribute of this package from then on.
        return import_module("conformance.torch_module")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    # ``help`` asks for each: one that needs a package that is not installed would end it.
    return [name for name in (*__all__, "torch_module") if name not in _NEEDS or find_spec(_NEEDS[name])]
