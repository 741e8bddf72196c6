"""Run the tests in the folder lstm/ by the onnx package's own runner, on any backend.

python run.py                        ONNX's reference evaluator
python run.py onnxruntime.backend    a module with is_compatible, prepare and supports_device
python run.py MODULE -v              one line for each test

Each test has its own rtol and atol in data.json, within which a correct LSTM stays. A version of the onnx package that
does not read data.json here would compare with its usual ones: this script hands them over.
"""

import dataclasses
import importlib
import json
import sys
import unittest
from pathlib import Path
from typing import Any

from onnx.backend.base import Backend
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner
from onnx.reference import ReferenceEvaluator


class Prepared:
    """A loaded model, which takes its inputs in their order."""

    def __init__(self, evaluator):
        self.evaluator = evaluator

    def run(self, inputs, **kwargs):
        """The outputs, in their order."""
        return self.evaluator.run(None, dict(zip(self.evaluator.input_names, inputs)))


class Reference(Backend):
    """ONNX's reference evaluator as a backend."""

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs) -> Any:
        """The loaded model."""
        return Prepared(ReferenceEvaluator(model))

    @classmethod
    def supports_device(cls, device):
        """On the CPU alone."""
        return device == "CPU"


def tests(backend: Any):
    """A unittest.TestCase with one test for each vector and device."""
    runner = Runner(backend)
    for test in load_model_tests(str(Path(__file__).parent), "lstm"):
        tolerance = json.loads((Path(str(test.model_dir)) / "data.json").read_text())
        runner._add_model_test(dataclasses.replace(test, **tolerance), "LSTM")
    [case] = [case for name, case in runner.test_cases.items() if "LSTM" in name]
    return case


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    chosen = importlib.import_module(words[0]) if words else Reference
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(tests(chosen))
    result = unittest.TextTestRunner(verbosity=1 + ("-v" in sys.argv)).run(suite)
    sys.exit(not result.wasSuccessful())
