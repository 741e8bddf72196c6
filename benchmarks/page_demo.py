"""A report to look at: built-in backends, and faulty LSTMs of the catalogue with their causes, as a page.

``python -m benchmarks.page_demo demo.html --json demo.json`` takes a few minutes. ``--from demo.json`` draws the
page of a report that is there already.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from conformance.backend import Backend
from conformance.drivers.run import run
from conformance.engine.plan import Settings
from conformance.faults import FAULTS, backend_of
from conformance.report import data, page

#: Faults that look different: everywhere, in one direction, in one dtype, at some sizes, in one option, in gradients.
SHOWN = (
    "gate-order-iofg",
    "reverse-not-flipped-back",
    "float32-for-float64",
    "units-past-a-multiple-of-4",
    "initial-state-swapped",
    "gradient-recurrent-weights-from-new-h",
)
BUILT_IN = ("numpy", "torch-nn", "torch-cell", "torch-nn-step", "torch-nn-cuda")


def __getattr__(name: str) -> Backend:
    """``benchmarks.page_demo:reverse_not_flipped_back`` is a target."""
    if (id := name.replace("_", "-")) in FAULTS:
        return backend_of(FAULTS[id])
    raise AttributeError(name)


def main() -> None:
    """Judge them, or read a report; and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--json", type=Path, help="write the report, too")
    parser.add_argument("--from", type=Path, dest="report", help="draw this report")
    parser.add_argument("--cases", type=int, default=0, help="random cases beside the fixed set (%(default)s)")
    parser.add_argument("--diagnose", type=int, default=60, help="seconds for the causes of each (%(default)s)")
    options = parser.parse_args()
    if options.report:
        report = data.from_json(json.loads(options.report.read_text(encoding="utf-8")))
    else:
        targets = [*BUILT_IN, *(f"benchmarks.page_demo:{id.replace('-', '_')}" for id in SHOWN)]
        report = run(targets, Settings(options.cases), diagnose=options.diagnose).report
    if options.json:
        options.json.write_text(data.dumps(report), encoding="utf-8")
    options.page.write_text(page.render(report), encoding="utf-8")


if __name__ == "__main__":
    main()
