"""What backends on a CUDA device share: why there is none, the arithmetic that a call is made with, and what runs."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import torch

#: ``CUBLAS_WORKSPACE_CONFIG`` with one buffer size, by which cuDNN's RNNs give the same bits again (docs/cuda.md).
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
ONE_SIZE = (":4096:8", ":4096:2", ":16:8")

# Every one of these settings belongs to the whole process: two calls that set and restore them must not overlap.
_settings = threading.Lock()


@dataclass(frozen=True)
class Kernels:
    """Which kernels a call is made with, and whether those of float32 may round their factors to TF32."""

    cudnn: bool
    tf32: bool = False

    def settings(self) -> list[tuple[Any, str, Any]]:
        """Each of torch's settings that decides upon a result, as an object, its attribute and the value."""
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        found: list[tuple[Any, str, Any]] = [(cudnn, "enabled", self.cudnn)]
        if hasattr(cudnn.rnn, "fp32_precision"):
            # allow_tf32 = False would mean "none" here: what torch.backends.fp32_precision says is then inherited.
            precision = "tf32" if self.tf32 else "ieee"
            found += [(cudnn.rnn, "fp32_precision", precision), (matmul, "fp32_precision", precision)]
        else:
            found += [(cudnn, "allow_tf32", self.tf32), (matmul, "allow_tf32", self.tf32)]
        reduced = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
        sums = (*reduced, "allow_fp16_accumulation")
        return [*found, *((matmul, name, False) for name in sums if hasattr(matmul, name))]

    @contextmanager
    def set(self) -> Iterator[None]:
        """Set what decides upon results, for one call at a time, and restore it."""
        with _settings:
            settings = self.settings()
            before = [(target, name, _read(target, name)) for target, name, _ in settings]
            try:
                for target, name, value in settings:
                    setattr(target, name, value)
                yield
            finally:
                for target, name, value in before:
                    setattr(target, name, value)

    def calling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, each of its calls made with these kernels."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            with self.set():
                return function(*arguments, **options)

        return call

    def unavailable(self) -> str | None:
        """Why these kernels cannot run here, or None."""
        if not torch.cuda.is_available():
            return f"no CUDA device (torch {torch.__version__})"
        if self.cudnn and not torch.backends.cudnn.is_available():
            return f"torch {torch.__version__} has no cuDNN"
        major, minor = torch.cuda.get_device_capability()
        if self.tf32 and major < 8:
            return f"{torch.cuda.get_device_name()} has compute capability {major}.{minor}; TF32 begins at 8.0"
        return None

    def note(self) -> str:
        """Which kernels run here, on which device; nothing where there is none."""
        if self.unavailable():
            return ""
        family = "ATen's own kernels and cuBLAS"
        if self.cudnn:
            others = [dtype for dtype in ("float32", "float64", "float16", "bfloat16") if not _by_cudnn(dtype)]
            family = f"cuDNN {device()['cudnn']}" + (f", {' and '.join(others)} by {family}" if others else "")
        where = device()
        tf32 = ", TF32 allowed" if self.tf32 else ""
        return f"{family}{tf32}; {where['device']}, CUDA {where['cuda']}, driver {where['driver']}"


def _read(target: Any, name: str) -> Any:
    """A setting as it must be written back: that of reduced sums is a pair, of which reading gives the first."""
    value, second = getattr(target, name), getattr(target, f"{name}_split_k", None)
    return value if second is None else (value, second)


def _by_cudnn(dtype: str) -> bool:
    return torch.cudnn_is_acceptable(torch.zeros(1, dtype=getattr(torch, dtype), device="cuda"))


@cache
def device() -> dict[str, str]:
    """The CUDA device and the versions below torch; nothing without a device."""
    if not torch.cuda.is_available():
        return {}
    major, minor = torch.cuda.get_device_capability()
    cudnn = torch.backends.cudnn.version()
    return {
        "device": torch.cuda.get_device_name(),
        "capability": f"{major}.{minor}",
        "driver": _driver(),
        "cuda": str(torch.version.cuda),
        "cudnn": "none" if cudnn is None else f"{cudnn // 10000}.{cudnn // 100 % 100}.{cudnn % 100}",
    }


def _driver() -> str:
    """The driver's version, which torch does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    asked = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=30).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return told[0] if told else "unknown"
