"""A sequence that is worked out as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from conformance.cases.unfolding import Unfolding


def noted(made: list[int], count: int) -> Iterator[int]:
    for number in range(count):
        made.append(number)
        sleep(0)
        yield 10 * number


def test_items_are_worked_out_when_they_are_first_read_and_kept() -> None:
    made: list[int] = []
    some = Unfolding(noted(made, 5))
    assert some[1] == 10
    assert [some[0], some[1]] == [0, 10]
    assert made == [0, 1]
    assert [*some] == some[:] == [0, 10, 20, 30, 40]
    assert (some[-1], len(some), some[1:3]) == (40, 5, [10, 20])
    assert made == [0, 1, 2, 3, 4]


def test_a_count_that_is_known_sooner_works_nothing_out() -> None:
    made: list[int] = []
    some = Unfolding(noted(made, 5), lambda: 5)
    assert len(some) == 5
    assert some[:2] == [0, 10]
    assert made == [0, 1]


def test_beyond_its_end_there_is_nothing() -> None:
    with pytest.raises(IndexError):
        Unfolding(iter([1]))[1]


def test_threads_read_the_same_items() -> None:
    some = Unfolding(noted([], 500))
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda _: [*some], range(8)))
    assert all(each == [*range(0, 5000, 10)] for each in read)
