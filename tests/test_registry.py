"""How a target finds its backend, and what a person reads when it does not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from programs import python

from conformance import Backend, Capabilities, backend, cell_backend
from conformance.errors import UsageError
from conformance.targets import registry
from conformance.targets.find import find

CUDA = {"torch-cell-cuda", "torch-nn-cuda", "torch-nn-cuda-native", "torch-nn-cuda-tf32"}
BUILT_IN = {"numpy", "torch-cell", "torch-loop", "torch-nn", "torch-nn-step", *CUDA}

MINE = """
    from conformance import Capabilities, backend

    @backend("mine", Capabilities())
    def mine(config, params):
        return None
"""

WriteFile = Callable[[str, str], Path]


@pytest.fixture
def write(folder: Path) -> WriteFile:
    """Writes a file into the working directory of the test."""

    def write_file(name: str, source: str) -> Path:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(source).lstrip())
        return path

    return write_file


def build(config: Any, params: Any) -> Any:
    return None


def test_every_built_in_backend_is_found_by_name() -> None:
    assert set(registry.names()) >= BUILT_IN
    for name in BUILT_IN:
        assert find(name).name == name


def test_a_run_without_names_takes_the_built_in_backends_and_no_adapter() -> None:
    adapters = set(registry.installed(registry.NAMED))
    assert {"onnxruntime", "flax-linen"} <= adapters
    assert set(registry.usual()) >= BUILT_IN
    assert not adapters & set(registry.usual())
    assert adapters < set(registry.names())
    assert registry.located("onnxruntime") == "implementations.onnx_family.onnxruntime:onnxruntime_lstm"


def test_the_decorator_registers_and_returns_the_backend() -> None:
    mine = backend("mine", Capabilities(layers=True), available=lambda: "not today")(build)
    assert isinstance(mine, Backend)
    assert find("mine") is mine
    assert find(mine) is mine
    assert mine.available() == "not today"
    assert mine.origin.startswith(f"{__file__}:")
    assert "mine" in registry.names()
    assert backend("always-there", Capabilities(), available=None)(build).available() is None


def test_a_cell_says_who_supplies_the_loop() -> None:
    cell = cell_backend("my-cell", Capabilities())(lambda config, params: lambda x_t, state: state)
    assert cell.note == "the suite supplies the loop over time"
    assert cell.ruled_out == {"loop"}


@pytest.mark.parametrize(
    "option", ["layers", "bidirectional", "batch_first", "unbatched", "lengths", "gradients", "dropout"]
)
def test_a_cell_cannot_declare_what_a_step_cannot_have(option: str) -> None:
    declared: dict[str, Any] = {option: True}
    with pytest.raises(ValueError, match=f"'my-cell' declares {option}"):
        cell_backend("my-cell", Capabilities(**declared))


def test_an_unknown_name_lists_near_ones() -> None:
    with pytest.raises(UsageError, match=r"no backend is named 'torch-lop'; known are .*numpy") as error:
        find("torch-lop")
    assert "did you mean torch-loop" in error.value.hint
    with pytest.raises(UsageError) as error:
        find("zzzzzzzz")
    assert error.value.hint == "a target is a name of `list`, module:attr or file.py:attr"


def test_a_name_defined_at_two_places_is_an_error_that_names_both(write: WriteFile) -> None:
    write("first.py", MINE)
    second = write("second.py", "\n" + MINE)
    assert find("first.py:mine").name == "first.py:mine"
    with pytest.raises(UsageError, match="backend 'mine' is registered twice") as error:
        find("second.py:mine")
    assert "first.py:3" in str(error.value)
    assert f"{second}:" in str(error.value)


def test_the_same_definition_imported_again_is_no_duplicate(write: WriteFile) -> None:
    path = write("again.py", MINE)
    first = find("again.py:mine")
    del sys.modules["again"]
    second = find("again.py:mine")
    assert first is not second
    assert first.origin == second.origin == f"{path}:3"


@pytest.mark.parametrize("target", ["named.py:mine", "named:mine", "named.py", "./named.py:mine"])
def test_targets_that_name_a_file_or_a_module(write: WriteFile, target: str) -> None:
    write("named.py", MINE)
    # The name is one by which the backend can be found again, as a replay line must.
    found = find(target)
    assert found.name == (target if ":" in target else f"{target}:mine")


def test_a_file_may_import_its_neighbour(write: WriteFile) -> None:
    write("sub/neighbour.py", "NAME = 'from next door'")
    write("sub/visitor.py", "from neighbour import NAME\n" + dedent(MINE).replace('"mine"', "NAME"))
    assert find("sub/visitor.py").name == "sub/visitor.py:mine"


def test_a_file_that_bears_the_name_of_a_loaded_module_does_not_replace_it(write: WriteFile) -> None:
    write("conformance.py", MINE)
    before = sys.modules["conformance"]
    assert find("conformance.py:mine").name == "conformance.py:mine"
    assert sys.modules["conformance"] is before


@pytest.mark.parametrize("target", ["broken.py:mine", "broken:mine"])
def test_a_target_that_fails_to_import_shows_its_own_places(write: WriteFile, target: str) -> None:
    write("broken.py", "def helper():\n    return 1 / 0\n\nhelper()\n")
    with pytest.raises(UsageError) as error:
        find(target)
    lines = str(error.value).splitlines()
    assert lines == [
        f"target {target!r} fails to import: ZeroDivisionError: division by zero",
        "  broken.py:4 in <module>: helper()",
        "  broken.py:2 in helper: return 1 / 0",
    ]
    assert "broken" not in sys.modules


def test_a_syntax_error_shows_the_line(write: WriteFile) -> None:
    write("typo.py", "def build(config, params:\n    pass\n")
    with pytest.raises(UsageError, match="SyntaxError: '\\(' was never closed") as error:
        find("typo.py:build")
    assert str(error.value).endswith("  typo.py:1 in <module>: def build(config, params:")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:build", r"(?s)'no_such_module:build' fails to import:.*No module named"),
        ("no_such_file.py", r"there is no file 'no_such_file\.py'"),
        ("no_such_file.py:build", r"there is no file 'no_such_file\.py'"),
    ],
)
def test_a_module_or_file_that_is_not_there_is_named(target: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(target)


def test_a_missing_attribute_lists_near_ones() -> None:
    with pytest.raises(UsageError, match=r"implementations\.numpy_lstm has no attribute 'numpy_lsmt'") as error:
        find("implementations.numpy_lstm:numpy_lsmt")
    assert error.value.hint == "it has numpy_lstm"


def test_a_file_of_two_backends_asks_which(write: WriteFile) -> None:
    write("two.py", dedent(MINE) + dedent(MINE).replace("mine", "yours"))
    with pytest.raises(UsageError, match="does not say which attribute") as error:
        find("two.py")
    assert error.value.hint == "write two.py:NAME with one of mine, yours"


def test_a_file_without_a_backend(write: WriteFile) -> None:
    write("empty.py", "SIZE = 3\n")
    with pytest.raises(UsageError, match="does not say which attribute"):
        find("empty.py")
    with pytest.raises(UsageError) as error:
        find("empty.py:build")
    assert error.value.hint == "it defines no backend, build function or nn.Module class"


@pytest.mark.parametrize(
    ("defined", "said"),
    [
        ("3", "'wrong.py:thing' is a int, not a Backend"),
        ("object", "'wrong.py:thing' is the class object, not a Backend"),
        ("None", "'wrong.py:thing' is a NoneType, not a Backend"),
        ("lambda config: None", r"takes \(config\), but a build function takes \(config, params\)"),
    ],
)
def test_an_attribute_that_is_no_backend(write: WriteFile, defined: str, said: str) -> None:
    write("wrong.py", f"thing = {defined}\n")
    with pytest.raises(UsageError, match=said):
        find("wrong.py:thing")


@pytest.mark.parametrize(
    "module",
    ["conformance", "conformance.targets.registry", "conformance.reference.forward", "implementations.numpy_lstm"],
)
def test_a_backend_is_defined_without_a_framework_and_without_the_engine(module: str) -> None:
    heavy = {"torch", "jax", "tensorflow", "keras", "onnx", "onnxruntime", "ml_dtypes", "hypothesis", "psutil"}
    assert python(f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))") == "[]\n"


def test_pytest_starts_without_anything_of_the_suite() -> None:
    """Every pytest run where the package is installed loads the plugin, most of them in vain."""
    heavy = {"torch", "numpy", "hypothesis", "psutil", "conformance"}
    code = f"import sys, lstm_conformance_pytest; print(sorted({heavy} & sys.modules.keys()))"
    assert python(code) == "[]\n"
