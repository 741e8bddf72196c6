"""lstm-conformance: does this LSTM compute what torch.nn.LSTM computes, and if not, what exactly is wrong?"""

from conformance.backend import Backend, Capabilities, Unsupported, reorder
from conformance.registry import backend, cell_backend
from conformance.spec import LSTMConfig

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "Capabilities",
    "LSTMConfig",
    "Unsupported",
    "__version__",
    "backend",
    "cell_backend",
    "reorder",
]
