"""One thread: the numerical libraries of this process are held to one while a backend is judged or probed.

Calls of a small LSTM take several times the processor time on several threads. Child processes get OMP_NUM_THREADS
(``processes/supervisor.py``); in the caller's own process the libraries have their threads already.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, ExitStack
from typing import Any


class OneThread(AbstractContextManager["OneThread"]):
    """Holds BLAS, OpenMP and torch to one thread each, unless the user has set OMP_NUM_THREADS.

    It says nothing about Python's own threads, which call a model at the same time as before.
    """

    def __init__(self) -> None:
        self._before = ExitStack()
        self._modules = 0

    def __enter__(self) -> OneThread:
        self.limit()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.release()

    def limit(self) -> None:
        """Hold the libraries that are loaded by now; a later call holds those that were loaded meanwhile."""
        if "OMP_NUM_THREADS" in os.environ or len(sys.modules) == self._modules:
            return
        torch = sys.modules.get("torch")
        # Before OpenMP is limited, which torch would report as its own number.
        if torch is not None and (threads := torch.get_num_threads()) > 1:
            self._before.callback(torch.set_num_threads, threads)
            torch.set_num_threads(1)
        # Another environment's interpreter may hold a backend without it: there OMP_NUM_THREADS is set.
        from threadpoolctl import threadpool_limits  # noqa: PLC0415

        self._before.enter_context(threadpool_limits(1))
        self._modules = len(sys.modules)

    def release(self) -> None:
        """Give back the numbers of threads that were found."""
        self._before.close()
        self._modules = 0
