"""Threads of numerical libraries: one while a backend is judged in this process, and as many as before after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from backends import around

from conformance.drivers.notebook import check_backend
from conformance.targets.find import find


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session in which torch takes two threads, and nobody has set OMP_NUM_THREADS."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _counting(seen: set[int], set_in_build: int = 0) -> Any:
    def noted(forward: Any, config: Any, x: Any, *state: Any) -> Any:
        if set_in_build:
            torch.set_num_threads(set_in_build)
        seen.add(torch.get_num_threads())
        return forward(x, *state)

    return around(noted)


@pytest.mark.usefixtures("two_threads")
def test_a_backend_is_judged_on_one_thread_and_the_number_from_before_comes_back() -> None:
    seen: set[int] = set()
    check_backend(_counting(seen), cases=0, only=("layout.shapes",))
    assert (seen, torch.get_num_threads()) == ({1}, 2)


@pytest.mark.usefixtures("two_threads")
def test_a_bare_function_is_probed_on_one_thread() -> None:
    seen: set[int] = set()

    def build(config: Any, params: Any) -> Any:
        seen.add(torch.get_num_threads())
        return find("numpy").build(config, params)

    find(build)
    assert (seen, torch.get_num_threads()) == ({1}, 2)


@pytest.mark.usefixtures("two_threads")
def test_a_backend_may_take_more_threads_and_they_are_its_own() -> None:
    seen: set[int] = set()
    check_backend(_counting(seen, set_in_build=3), cases=0, only=("layout.shapes",))
    assert (seen, torch.get_num_threads()) == ({3}, 2)


def test_who_sets_omp_num_threads_has_decided(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    seen: set[int] = set()
    check_backend(_counting(seen), cases=0, only=("layout.shapes",))
    assert seen == {2}
