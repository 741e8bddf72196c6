"""What a set of vectors finds beyond the faults that it was chosen by: the families of alterations of the diagnosis.

``python -m benchmarks.vectors DIR`` reads the set from its ``.npz`` files, as anybody would, and tries each forward
alteration that is in no catalogue, and so took no part in the choice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conformance.faults import FAULTS, Fault
from conformance.faults.families import known
from conformance.faults.fault import CALLS, GRADIENTS
from conformance.selftest.score import prepare
from conformance.spec import Array, LSTMConfig

#: What a set cannot show: it has single calls, and no gradients.
_NOT_HERE = (GRADIENTS, CALLS)


def main() -> None:
    """Print how many alterations are found, and those that are not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="written by lstm-conformance vectors DIR --format npz")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try every Nth alteration (all)")
    options = parser.parse_args()
    prepare()
    vectors = [read(path) for path in sorted((options.folder / "npz").glob("*.npz"))]
    faults = [fault for fault in known().values() if fault.id not in FAULTS and fault.kind not in _NOT_HERE]
    missed = [fault.id for fault in faults[:: options.every] if not found(fault, vectors)]
    tried = len(faults[:: options.every])
    print(f"{len(vectors)} vectors find {tried - len(missed)} of {tried} alterations that are in no catalogue")
    print("not found:", ", ".join(missed) or "none")


def read(path: Path) -> dict[str, Any]:
    """A vector's arrays by name, and ``config``."""
    with np.load(path) as file:
        arrays = dict(file)
    return {**arrays, "config": LSTMConfig(**json.loads(str(arrays.pop("about")))["config"])}


def found(fault: Fault, vectors: Sequence[dict[str, Any]]) -> bool:
    """Whether a vector that the faulty LSTM declares tells it from a correct one."""
    c = fault.capabilities
    for vector in vectors:
        config: LSTMConfig = vector["config"]
        if (config.dropout and not c.dropout) or ("lengths" in vector and not c.lengths):
            continue
        if any(wrong(*parts) for parts in results(fault, vector)):
            return True
    return False


def results(fault: Fault, vector: dict[str, Any]) -> list[tuple[Array | None, Array, Array]]:
    """Each part that a new model returns beside what is expected and the bound; None if it raises."""
    params = {name: array.copy() for name, array in vector.items() if name.startswith(("weight", "bias"))}
    state = (vector["h_0"].copy(), vector["c_0"].copy()) if "h_0" in vector else None
    lengths = {"lengths": vector["lengths"].copy()} if "lengths" in vector else {}
    try:
        output, (h_n, c_n) = fault.build(vector["config"], params)(vector["x"].copy(), state, **lengths)
    except Exception:
        output = h_n = c_n = None
    parts = zip(("output", "h_n", "c_n"), (output, h_n, c_n), strict=True)
    return [(got, vector[name], vector[f"{name}_bound"]) for name, got in parts]


def wrong(got: Array | None, want: Array, bound: Array) -> bool:
    """Whether a part is off, as docs/vectors.md says."""
    if got is None or got.shape != want.shape or got.dtype != want.dtype:
        return True
    with np.errstate(invalid="ignore"):
        near = np.abs(got.astype(float) - want) <= bound
    return not np.all(near | (got == want) | (np.isnan(got) & np.isnan(want)))


if __name__ == "__main__":
    main()
