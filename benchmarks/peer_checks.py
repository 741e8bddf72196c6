"""What another project's test set costs to start, and for each check: ``python -m benchmarks.peer_checks NAME``.

Each is run in a fresh process, as its own project runs it: the LSTM node tests of ONNX on ONNX's reference
implementation; scikit-learn's ``check_estimator`` on its logistic regression; and, to set beside them, a default run of
this suite on its NumPy LSTM. A check is what the set itself reports one by one. A set that is not installed says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import unittest
import warnings
from collections.abc import Callable
from typing import Any, TypedDict


class Cost(TypedDict):
    """CPU seconds from the start of the process to the first check, those of all checks, and how many there are."""

    start: float
    seconds: float
    checks: int


#: Of one set: it gets ready, and gives what runs the checks and counts them.
Ready = Callable[[], Callable[[], int]]


def _onnx() -> Callable[[], int]:
    import onnx.backend.test  # noqa: PLC0415  each set alone in its process
    from onnx.backend.base import Backend, BackendRep  # noqa: PLC0415
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415

    class Prepared(BackendRep):
        def __init__(self, model: Any) -> None:
            self._session = ReferenceEvaluator(model)

        def run(self, inputs: Any, **_: Any) -> Any:
            names: Any = [name for name in self._session.input_names if name]
            return self._session.run(None, dict(zip(names, inputs, strict=False)))

    class Reference(Backend):
        @classmethod
        def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> Prepared:
            return Prepared(model)

        @classmethod
        def supports_device(cls, device: str) -> bool:
            return device == "CPU"

    made = onnx.backend.test.BackendTest(Reference, __name__).include(r"test_lstm_.*_cpu")
    # Of the others each would be counted as one that is skipped.
    suite = unittest.TestSuite(
        test for test in _tests(made.test_suite) if "test_lstm_" in test.id() and "_cpu" in test.id()
    )

    def run() -> int:
        result = unittest.TestResult()
        suite.run(result)
        assert not result.errors, result.errors
        assert not result.failures, result.failures
        return result.testsRun - len(result.skipped)

    return run


def _tests(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    found = []
    for test in suite:
        found += _tests(test) if isinstance(test, unittest.TestSuite) else [test]
    return found


def _scikit_learn() -> Callable[[], int]:
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-not-found]  # noqa: PLC0415
    from sklearn.utils.estimator_checks import check_estimator  # type: ignore[import-not-found]  # noqa: PLC0415

    def run() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sum(told["status"] != "skipped" for told in check_estimator(LogisticRegression()))

    return run


def _this_suite() -> Callable[[], int]:
    from benchmarks.overhead import Counting  # noqa: PLC0415
    from conformance.engine.plan import Settings  # noqa: PLC0415
    from conformance.engine.sieve import conform  # noqa: PLC0415
    from conformance.targets.find import find  # noqa: PLC0415

    judge = Counting(find("numpy"))

    def run() -> int:
        conform(judge, Settings())
        return judge.checks.total()

    return run


SETS: dict[str, Ready] = {"this suite": _this_suite, "ONNX": _onnx, "scikit-learn": _scikit_learn}


def cost(name: str) -> Cost | None:
    """The cost of one set in a fresh process; None if it is not installed."""
    done = subprocess.run([sys.executable, "-m", __spec__.name, name], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Print the cost of one set as JSON."""
    try:
        run = SETS[sys.argv[1]]()
    except ImportError:
        print("null")
        return
    start = time.process_time()
    checks = run()
    print(json.dumps({"start": start, "seconds": time.process_time() - start, "checks": checks}))


if __name__ == "__main__":
    main()
