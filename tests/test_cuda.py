"""The CUDA backends: what they declare, what a call is made with, why they are skipped here; on a GPU, what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from backends import accused
from programs import python

from conformance import Backend
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, backend_of
from conformance.properties import catalogue
from conformance.targets.find import find

torch = pytest.importorskip("torch")

from implementations import cuda, torch_cell, torch_nn  # noqa: E402
from implementations.cuda import ONE_SIZE, WORKSPACE, Kernels  # noqa: E402

BACKENDS = (
    torch_nn.torch_nn_cuda,
    torch_nn.torch_nn_cuda_native,
    torch_nn.torch_nn_cuda_tf32,
    torch_cell.torch_cell_cuda,
)
CUDA = [backend.name for backend in BACKENDS]
DTYPES = ("float32", "float64", "float16", "bfloat16")
NO_DEVICE = f"no CUDA device (torch {torch.__version__})"
MATMUL = torch.backends.cuda.matmul

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_DEVICE)
new = pytest.mark.skipif(not hasattr(torch.backends.cudnn.rnn, "fp32_precision"), reason="torch is older than 2.9")


# What they declare


@pytest.mark.parametrize("name", CUDA)
def test_where_there_is_no_device_the_reason_is_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    backend = find(name)
    assert backend.available() == NO_DEVICE
    assert backend.remark() == ("the suite supplies the loop over time" if name == "torch-cell-cuda" else "")


def test_what_is_declared() -> None:
    nn, native, tf32, cell = (find(name).capabilities for name in CUDA)
    plain = find("torch-nn").capabilities
    assert native == plain
    assert replace(nn, deterministic=True) == plain
    assert replace(tf32, deterministic=True, arithmetic={}) == plain
    assert tf32.arithmetic == {"float32": "tf32"}
    assert cell == find("torch-cell").capabilities
    assert all(c.dtypes == DTYPES for c in (nn, native, tf32, cell))


@pytest.mark.parametrize(("workspace", "deterministic"), [("", False), (":16:8:4096:2", False), (ONE_SIZE[0], True)])
def test_cudnn_is_deterministic_where_it_promises_to_be(workspace: str, deterministic: bool) -> None:
    code = "from implementations.torch_nn import *; print(*(b.capabilities.deterministic for b in "
    code += "(torch_nn_cuda, torch_nn_cuda_tf32, torch_nn_cuda_native)))"
    told = python(code, **{WORKSPACE: workspace})
    assert told.split() == [str(deterministic), str(deterministic), "True"]


Device = Callable[..., None]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Has torch and nvidia-smi tell of a device that is not there; it is forgotten after the test."""

    def there(capability: tuple[int, int] = (9, 0), printed: str = "580.1\n") -> None:
        told = {"is_available": True, "get_device_capability": capability, "get_device_name": "A Device"}
        for name, value in told.items():
            monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
        monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch, "cudnn_is_acceptable", lambda tensor: tensor.dtype != torch.bfloat16)
        monkeypatch.setattr(torch, "zeros", lambda *shape, dtype, device: SimpleNamespace(dtype=dtype))
        monkeypatch.setattr(cuda.shutil, "which", lambda name: name)
        monkeypatch.setattr(cuda.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=printed))
        cuda.device.cache_clear()

    yield there
    cuda.device.cache_clear()


@pytest.mark.parametrize(("printed", "driver"), [("580.159.04\n580.159.04\n", "580.159.04"), ("", "unknown")])
def test_the_note_tells_kernels_device_and_versions(device: Device, printed: str, driver: str) -> None:
    where = f"A Device, CUDA 13.0, driver {driver}"
    own = "ATen's own kernels and cuBLAS"
    device(printed=printed)
    notes = {name: find(name).remark() for name in CUDA}
    assert notes == {
        "torch-nn-cuda": f"cuDNN 9.10.2, bfloat16 by {own}; {where}",
        "torch-nn-cuda-native": f"{own}; {where}",
        "torch-nn-cuda-tf32": f"cuDNN 9.10.2, bfloat16 by {own}, TF32 allowed; {where}",
        "torch-cell-cuda": f"the suite supplies the loop over time; {own}; {where}",
    }


def test_other_reasons_are_exact_too(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device((7, 5))
    assert Kernels(cudnn=True).unavailable() is None
    assert Kernels(cudnn=True, tf32=True).unavailable() == "A Device has compute capability 7.5; TF32 begins at 8.0"
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: False)
    assert Kernels(cudnn=True).unavailable() == f"torch {torch.__version__} has no cuDNN"
    assert Kernels(cudnn=False).unavailable() is None


# What a call is made with


def settings() -> dict[str, Any]:
    """What decides upon results, as it is now."""
    cudnn = torch.backends.cudnn
    found = {"cudnn": cudnn.enabled, "fp16": MATMUL.allow_fp16_reduced_precision_reduction}
    found["bf16"] = MATMUL.allow_bf16_reduced_precision_reduction
    found["sums"] = getattr(MATMUL, "allow_fp16_accumulation", False)
    if hasattr(cudnn.rnn, "fp32_precision"):
        return found | {"rnn": cudnn.rnn.fp32_precision, "matmul": MATMUL.fp32_precision}
    return found | {"rnn": cudnn.allow_tf32, "matmul": MATMUL.allow_tf32}


SUMS = {"fp16": False, "bf16": False, "sums": False}


@new
@pytest.mark.parametrize("cudnn", [False, True])
@pytest.mark.parametrize(("tf32", "precision"), [(False, "ieee"), (True, "tf32")])
def test_a_call_sets_all_that_decides_upon_its_result_and_restores_it(cudnn: bool, tf32: bool, precision: str) -> None:
    def fail() -> None:
        seen.append(settings())
        raise KeyError

    seen, before = [], settings()
    with pytest.raises(KeyError):
        Kernels(cudnn, tf32).calling(fail)()
    assert seen == [{"cudnn": cudnn, "rnn": precision, "matmul": precision, **SUMS}]
    assert settings() == before


@new
def test_tf32_is_not_inherited_from_the_process() -> None:
    """``cudnn.flags(allow_tf32=False)`` would inherit it, and raise when it is left."""
    code = """
import torch
from implementations.cuda import Kernels
torch.backends.fp32_precision = "tf32"
with Kernels(cudnn=True).set():
    print(torch.backends.cudnn.rnn.fp32_precision, torch.backends.cuda.matmul.fp32_precision)
"""
    assert python(code).split() == ["ieee", "ieee"]


def test_older_versions_of_torch_are_told_in_their_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn = SimpleNamespace(enabled=True, allow_tf32=True, rnn=SimpleNamespace())
    matmul = SimpleNamespace(allow_tf32=True, allow_fp16_reduced_precision_reduction=True)
    backends = SimpleNamespace(cudnn=cudnn, cuda=SimpleNamespace(matmul=matmul))
    monkeypatch.setattr(cuda, "torch", SimpleNamespace(backends=backends))
    with Kernels(cudnn=False).set():
        assert vars(matmul) == {"allow_tf32": False, "allow_fp16_reduced_precision_reduction": False}
        assert (cudnn.enabled, cudnn.allow_tf32) == (False, False)
    assert vars(matmul) == {"allow_tf32": True, "allow_fp16_reduced_precision_reduction": True}
    assert (cudnn.enabled, cudnn.allow_tf32) == (True, True)


@pytest.mark.skipif(
    not hasattr(MATMUL, "allow_fp16_reduced_precision_reduction_split_k"), reason="this torch has no split-k setting"
)
def test_both_halves_of_a_setting_are_restored() -> None:
    MATMUL.allow_fp16_reduced_precision_reduction = (False, False)
    try:
        with Kernels(cudnn=True).set():
            pass
        assert not MATMUL.allow_fp16_reduced_precision_reduction_split_k
    finally:
        MATMUL.allow_fp16_reduced_precision_reduction = (True, True)


def test_calls_from_two_threads_do_not_change_each_others_settings() -> None:
    wrong: list[Any] = []

    def work(cudnn: bool) -> None:
        call = Kernels(cudnn).calling(lambda: [torch.backends.cudnn.enabled for _ in range(50)])
        wrong.extend(seen for _ in range(200) for seen in call() if seen is not cudnn)

    before = settings()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (False, True)))
    assert not wrong
    assert settings() == before


@new
def test_every_call_of_a_backend_is_made_with_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA backend whose models are on the CPU."""
    seen: list[dict[str, Any]] = []
    real = torch_nn._build

    def recording(function: Any) -> Any:
        return lambda *args, **options: (seen.append(settings()), function(*args, **options))[1]

    def build(config: Any, params: Any, device: str) -> Any:
        assert device == "cuda"
        model = recording(real)(config, params, "cpu")
        forward: Any = recording(model)
        forward.vjp, forward.load, forward.train = (recording(each) for each in (model.vjp, model.load, model.train))
        return forward

    monkeypatch.setattr(torch_nn, "_build", build)
    backend = replace(torch_nn.on_cuda("on-cpu", Kernels(cudnn=False, tf32=True)), available=lambda: None)
    chosen = ("values", "lengths", "gradients.layout", "purity.threads")
    assert conform(backend, Settings(4, only=chosen, fixed=False)).conformant
    assert seen
    assert all(each == {"cudnn": False, "rnn": "tf32", "matmul": "tf32", **SUMS} for each in seen)


# What is undeclared is found: simulated everywhere, and on a GPU in earnest


@pytest.mark.parametrize(
    ("fault", "property"),
    [
        ("tf32", "values.output"),
        ("tf32-input-projection", "values.output"),
        ("half-accumulation", "values.accumulation"),
        ("half-sums", "values.accumulation"),
    ],
)
def test_arithmetic_that_is_not_declared_is_found(fault: str, property: str) -> None:
    assert accused(backend_of(FAULTS[fault]), Settings(20, only=(property,)))


@dataclass(frozen=True)
class HalfSums(Kernels):
    """ATen's kernels, summing float16 in float16."""

    def settings(self) -> list[tuple[Any, str, Any]]:
        """The same, but for the sums."""
        return [(t, name, value or name == "allow_fp16_accumulation") for t, name, value in super().settings()]


def answers(backend: Backend, recipes: list[Recipe], property: str) -> list[Answer]:
    return [answer for recipe in recipes for _, answer in Here(backend).ask(recipe, [Inquiry(catalogue()[property])])]


#: Large enough for matrix products on tensor cores.
WIDE = [Recipe(I=256, H=H, L=12, N=64, state="both", seed=seed) for H in (256, 512) for seed in range(3)]


@gpu
def test_undeclared_tf32_is_found_on_the_gpu() -> None:
    backend = find("torch-nn-cuda-tf32")
    if reason := backend.available():
        pytest.skip(reason)
    undeclared = replace(backend, capabilities=replace(backend.capabilities, arithmetic={}))
    assert any(answer.outcome == "failed" for answer in answers(undeclared, WIDE, "values.output"))
    assert all(answer.outcome == "passed" for answer in answers(backend, WIDE, "values.output"))
    assert all(answer.outcome == "passed" for answer in answers(find("torch-nn-cuda"), WIDE, "values.output"))


@gpu
def test_undeclared_half_sums_are_found_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(MATMUL, "allow_fp16_accumulation"):
        pytest.skip(f"torch {torch.__version__} has no allow_fp16_accumulation")
    half = [replace(recipe, dtype="float16") for recipe in WIDE]
    backend = torch_nn.on_cuda("half-sums", HalfSums(cudnn=False))
    assert any(answer.outcome == "failed" for answer in answers(backend, half, "values.accumulation"))
    native = find("torch-nn-cuda-native")
    assert all(answer.outcome == "passed" for answer in answers(native, half, "values.accumulation"))


@gpu
@pytest.mark.parametrize("name", CUDA)
def test_determinism_is_as_declared_on_the_gpu(name: str) -> None:
    assert accused(find(name), Settings(30, only=("purity.repeat", "gradients.repeat"))) == {}


@gpu
@pytest.mark.parametrize("name", CUDA)
def test_a_cuda_backend_conforms_on_the_gpu(name: str) -> None:
    report = conform(find(name), Settings(5, shrink=False))
    assert [(v.property, v.message) for v in report.bad] == []
    assert torch.cuda.get_device_name() in report.note
