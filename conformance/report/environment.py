"""The environment in which a report was made, and the frameworks that a process has loaded."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache

#: The packages that the suite itself computes and draws with, whose versions a report names if they are installed.
_OWN = ("numpy", "hypothesis", "ml_dtypes")

#: The frameworks whose versions a report names where a backend's process has loaded them, by the names of their
#: modules. What else is loaded (a framework loads dozens of packages, a notebook hundreds) says nothing about an LSTM.
FRAMEWORKS = (
    *("torch", "lightning", "tensorflow", "keras", "tflite_runtime", "ai_edge_litert"),
    *("jax", "flax", "equinox", "haiku", "onnx", "onnxruntime", "openvino"),
    *("mlx", "tinygrad", "paddle", "mindspore", "mxnet", "theano", "pytensor", "cupy", "numba", "triton"),
    *("cv2", "ncnn", "MNN", "tract", "tvm", "executorch", "jittor", "sonnet"),
    *("opacus", "brevitas", "labml_nn", "thinc"),
)


def environment(*packages: str) -> dict[str, str]:
    """The versions of the suite's packages, of the named ones that are installed, of Python, and the platform."""
    versions = {name: version for name in (*packages, *_OWN) if (version := _installed(name))}
    return versions | {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}


def loaded(versions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The versions of frameworks that several processes have loaded, as one; where they differ, all of them."""
    told: dict[str, list[str]] = {}
    for name, version in (each for some in versions for each in some.items()):
        told.setdefault(name, []).append(version)
    return {name: " and ".join(dict.fromkeys(each)) for name, each in told.items()}


def frameworks() -> dict[str, str]:
    """The versions of ``FRAMEWORKS`` that this process has loaded by now, by name."""
    return {name: _version(name) for name in FRAMEWORKS if sys.modules.get(name)}


@cache
def _version(name: str) -> str:
    """The version of a loaded module, by its own word; by its package's if it does not say."""
    told = getattr(sys.modules[name], "__version__", None)
    return told if isinstance(told, str) else _installed(name) or "of an unknown version"


@cache
def _installed(package: str) -> str:
    """The version of an installed package, or nothing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
