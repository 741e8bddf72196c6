"""What the project's own tests share."""

import os

import pytest
from hypothesis import settings

# Before torch loads: on the small LSTMs of the suite, one thread is three times faster than many.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How fast a machine is decides no test, and every run draws the same.
settings.register_profile("tests", deadline=None, derandomize=True, database=None)
settings.load_profile("tests")

pytest_plugins = ["pytester"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: the tests of isolation wait for other processes much of the time."""
    return (os.cpu_count() or 1) + 1
