"""WebNN's operator lstm as web-platform-tests write its tests: ``webnn/conformance_tests/lstm.https.any.js``.

A test is an object with a name and a graph; JSON is such an object too. Weights (D, 4H, I) and biases (D, 4H) have
their gates in the order that the test's option layout names: i, o, f, g in every other test, i, f, g, o in the others.
Outputs are h_n and c_n (D, N, H) and the sequence (L, D, N, H).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.spec import Array
from conformance.vectors.formats.in_onnx import by_direction, stacked
from conformance.vectors.formats.plain import numbers
from conformance.vectors.forms import WEBNN_ATOL
from conformance.vectors.search import Chosen

_OUTPUTS = ("lstmOutput1", "lstmOutput2", "lstmOutput3")


def write_webnn(folder: Path, chosen: Sequence[Chosen]) -> None:
    """``lstm.json``: the tolerance of all tests, and the tests."""
    tests = [_test(one, "ifgo" if number % 2 else "iofg") for number, one in enumerate(chosen)]
    tolerance = json.dumps({"metricType": "ATOL", "value": WEBNN_ATOL})
    text = ",\n".join(tests)
    (folder / "lstm.json").write_text(f'{{\n"tolerance": {tolerance},\n"tests": [\n{text}\n]\n}}\n', encoding="utf-8")


def _test(chosen: Chosen, layout: str) -> str:
    vector = chosen.vector
    config, params, given = vector.case.config, vector.case.params, vector.inputs
    kinds = {"weight": "weight_ih", "recurrentWeight": "weight_hh"}
    kinds |= {"bias": "bias_ih", "recurrentBias": "bias_hh"} if config.bias else {}
    arrays = {"input": given["x"]} | {name: stacked(config, params, kind, layout) for name, kind in kinds.items()}
    arrays |= {
        name: given[part]
        for name, part in (("initialHiddenState", "h_0"), ("initialCellState", "c_0"))
        if part in given
    }
    operands = {name: f"lstm{name[0].upper()}{name[1:]}" for name in arrays}
    options: dict[str, Any] = {
        name: operand for name, operand in operands.items() if name not in ("input", "weight", "recurrentWeight")
    }
    options |= {"returnSequence": True, "direction": "both" if config.bidirectional else "forward", "layout": layout}
    steps = {"steps": vector.case.steps}, {"hiddenSize": config.hidden_size}, {"options": options}
    first = [{name: operands[name]} for name in ("input", "weight", "recurrentWeight")]
    operators = [{"name": "lstm", "arguments": [*first, *steps], "outputs": [*_OUTPUTS]}]
    output, h_n, c_n = vector.expectations.want
    expected: dict[str, Array] = dict(zip(_OUTPUTS, (h_n, c_n, by_direction(config, output)), strict=True))
    inputs = {operands[name]: array for name, array in arrays.items()}
    return (
        f'{{"name": {json.dumps(f"lstm float32 {chosen.name}")}, "graph": {{\n'
        f'"inputs": {{\n{_tensors(inputs)}\n}},\n'
        f'"operators": {json.dumps(operators)},\n'
        f'"expectedOutputs": {{\n{_tensors(expected)}\n}}}}}}'
    )


def _tensors(arrays: dict[str, Array]) -> str:
    """One line for each tensor."""
    return ",\n".join(
        f'"{name}": {{"data": [{",".join(numbers(array))}], '
        f'"descriptor": {{"shape": {list(array.shape)}, "dataType": "float32"}}}}'
        for name, array in arrays.items()
    )
