"""A sequence whose items are worked out as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import TypeVar, overload

T = TypeVar("T")


class Unfolding(Sequence[T]):
    """The items of an iterator, worked out when they are first read, and kept; several threads may read them.

    ``count`` tells how many there are, if that is known sooner than all of them.
    """

    def __init__(self, items: Iterator[T], count: Callable[[], int] | None = None) -> None:
        self._items, self._count = items, count
        self._known: list[T] = []
        self._lock = Lock()

    def __len__(self) -> int:
        """All of them are worked out for it, if the count is not known sooner."""
        return self._count() if self._count is not None else self._known_to(None)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """An item, for which those before it are worked out; or a list of some."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = index if index >= 0 else index + len(self)
        self._known_to(at)
        return self._known[at]

    def _known_to(self, last: int | None) -> int:
        """Work out the items up to one, or all; how many are known now."""
        with self._lock:
            while last is None or len(self._known) <= last:
                try:
                    self._known.append(next(self._items))
                except StopIteration:
                    break
            return len(self._known)
