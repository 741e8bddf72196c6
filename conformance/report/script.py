"""A reproduction as a Python script that needs NumPy and the implementation only.

The script is put together from pieces of text: a head that says what fails, the arrays, how the implementation is
loaded, a plain LSTM by which a reader can check the expected values, the calls, and one comparison.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from conformance.processes.wire.client import PROGRAM
from conformance.report.harmless import harmless
from conformance.report.literals import WIDTH, Literals
from conformance.report.shell import command_line
from conformance.spec import Array, LSTMConfig
from conformance.trials.events import ENDED, Event
from conformance.trials.reproduction import Reproduction, Wanted

#: The line by which ``replay`` reads a script again begins so.
MARK = "# lstm-conformance: "

_GIVEN = "What the implementation is given; its weights have the names of torch.nn.LSTM's state_dict."

_VJP = ("grad_output", "grad_h_n", "grad_c_n")


def script(told: Reproduction, statement: str) -> str:
    """The script of a reproduction; ``statement`` is the property's. Raises ``ValueError`` for what has none."""
    arrays = Literals()
    calls = _calls(told, arrays)
    wanted = _wanted(told.wanted, arrays)
    packed = [_piece("unpacked")] if arrays.packed else []
    placed = [_piece("placed")] if any(event.placed for event in told.events) else []
    judging = _judging(told)
    if "EXPECTED" in judging and not wanted:
        wanted = ["# What the call must return is not known.\nEXPECTED, BOUND = {}, {}"]
    pieces = [
        _head(told, statement),
        *(packed + placed),
        f"# {_GIVEN}\n" + "\n".join(arrays.lines),
        _build(told),
        *([_piece("lstm")] if told.wanted else []),
        *([_gradients(told)] if any(name.startswith("grad ") for name in told.wanted) else []),
        *wanted,
        calls,
        judging,
    ]
    head, *rest = (piece.strip("\n") for piece in pieces)
    text = "\n\n\n".join(rest) + "\n"
    return f"{head}\n\n{_imports(text)}\n\n{text}"


def _piece(name: str) -> str:
    """A part of the text of every script: a file beside this module, from a line that names it to the next."""
    text = resources.files("conformance.report").joinpath("script_parts.txt").read_text(encoding="utf-8")
    return text.split(f"#### {name}\n")[1].split("\n#### ")[0].strip("\n")


# The head


def _head(told: Reproduction, statement: str) -> str:
    line = ["lstm-conformance", "replay", *told.recipes, "--backend", told.target, "--only", told.property]
    paragraphs = [
        f"{told.target} fails {told.property}: {told.told}.",
        f"{told.property}: {statement}",
        _needs(told),
        _ends(told),
        _sources(told),
        f"Written by {told.versions or 'lstm-conformance'}. The suite itself shows the failure so:",
    ]
    body = "\n#\n".join(
        textwrap.fill(
            text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False, break_long_words=False
        )
        for text in paragraphs
    )
    # A name that ends a line would end the comment.
    shown = f"{harmless(body, lines=True)}\n#   {harmless(command_line(line))}"
    return f"{shown}\n{MARK}{json.dumps(identity(told))}"


def identity(told: Reproduction) -> dict[str, object]:
    """What a reader of the file needs beside the arrays."""
    names = ("property", "target", "place", "module_class", "kind", "told", "versions", "arithmetic", "digest")
    return {"recipes": list(told.recipes), **{name: getattr(told, name) for name in names}}


def _ends(told: Reproduction) -> str:
    if told.told.startswith(ENDED):
        return "The last call ends the process, and this script with it. An implementation that is right gives code 0."
    return "It ends with exit code 0 if the implementation is right, and 1 if it is wrong."


def _needs(told: Reproduction) -> str:
    where = told.place or told.target
    more = "torch" if told.module_class else "whatever that imports"
    if told.target.startswith(PROGRAM):
        return f"This script needs NumPy, and the program that it starts: {told.target.removeprefix(PROGRAM)}."
    return f"This script needs NumPy, {where} (run it in the folder from which that is found) and {more}."


def _sources(told: Reproduction) -> str:
    if told.kind == "accepted":
        return "The last call makes no sense: torch.nn.LSTM raises for it, and an implementation must."
    if not told.wanted:
        return "No numbers are compared."
    return (
        "The expected values are those of the LSTM's equations in float64. The function lstm below has these "
        "equations, and computes the values again when the script runs. The bound is the largest error that rounding "
        f"in {told.arithmetic} may cause in a correct LSTM, whatever its order of sums, over the whole call."
    )


# The parts


def _imports(text: str) -> str:
    """The imports that the text of a script needs."""
    packed = "def unpacked" in text
    lines = [*["import base64"] * packed, "import sys", *["import zlib"] * packed]
    lines += [*["from dataclasses import dataclass"] * ("@dataclass" in text), "", "import numpy as np"]
    numbers = [name for name in ("inf", "nan") if re.search(rf"(?<![\w.]){name}\b", text)]
    lines += [f"from numpy import {', '.join(numbers)}"] if numbers else []
    lines += ["import ml_dtypes"] if re.search(r"(, |unpacked\()ml_dtypes\.", text) else []
    return "\n".join(lines)


def _build(told: Reproduction) -> str:
    if told.target.startswith(PROGRAM):
        command = f"COMMAND = {told.target.removeprefix(PROGRAM)!r}"
        return f"{_piece('program_imports')}\n\n{command}\n\n\n{_piece('config')}\n\n\n{_piece('program')}"
    place, _, attribute = (told.place or told.target).rpartition(":")
    file = place.endswith(".py")
    if not attribute.isidentifier() or not (file or all(part.isidentifier() for part in place.split("."))):
        raise ValueError(f"{told.target!r} is no name in a file or module that a script could import")
    if file:
        path = Path(place)
        found = f"sys.path.insert(0, {str(path.parent.as_posix())!r})\n" + (
            f"from {path.stem} import {attribute}"
            if path.stem.isidentifier()
            else f"import importlib\n{attribute} = getattr(importlib.import_module({path.stem!r}), {attribute!r})"
        )
    else:
        found = f'sys.path.insert(0, "")\nfrom {place} import {attribute}'
    if not told.module_class:
        return f"{_piece('config')}\n\n{_piece('slots')}\n\n\n# The implementation.\n{found}\n\nbuild = {attribute}"
    vjp = "\n\n\n" + _piece("module_vjp") if any(e.method == "vjp" for e in told.events) else ""
    model = _piece("module").replace("MODULE", attribute)
    return f"# The implementation.\nimport torch\n{found}\n\n\n{_piece('config')}\n\n\n{model}{vjp}"


def _config(config: LSTMConfig) -> str:
    usual = {name: field.default for name, field in LSTMConfig.__dataclass_fields__.items()}
    given = {name: getattr(config, name) for name in usual}
    return ", ".join(f"{name}={value!r}" for name, value in given.items() if value != usual[name])


def _calls(told: Reproduction, arrays: Literals) -> str:
    """The function that makes the calls: ``run() -> returned, given``; the last of them keeps what it was given."""
    lines = [
        "def run():",
        '    """The calls; what the last one returned, and all that it was given, as it is afterwards."""',
    ]
    build_of_last = next(k for k, e in enumerate(told.events) if e.model == told.last.model and e.method == "build")
    comparing = told.kind == "changed"
    for at, event in enumerate(told.events):
        last = event is told.last
        if event.method == "build" and at == build_of_last:
            lines.append(f"    weights = {_dict(event, arrays)}")
            lines += ["    BEFORE.update(copied(weights))"] * comparing
            made = f"build(Config({_config(event.config)}), weights)"
            lines.append(f"    model_{event.model} = {made}" if not last else f"    return {made}, weights")
        elif event.method == "build":
            lines.append(f"    model_{event.model} = build(Config({_config(event.config)}), {_dict(event, arrays)})")
        elif event.method == "train":
            lines.append(f"    model_{event.model}.train({event.mode})")
        elif event.method == "load":
            lines.append(f"    model_{event.model}.load({_dict(event, arrays)})")
        elif not last:
            given = {name: _value(event, name, arrays) for name in event.arrays}
            call = f"model_{event.model}{_called(event, given)}"
            lines += ["    try:", f"        earlier.append({call})", "    except Exception:", "        pass"]
    if told.last.called:
        lines.append(f"    given = {_dict(told.last, arrays)}")
        lines += ["    given |= results(earlier)"] * (
            "earlier" in "".join(lines) and told.kind in ("changed", "shared")
        )
        lines += ["    BEFORE.update(copied(given))"] * comparing
        call = _called(told.last, {name: f'given["{name}"]' for name in told.last.arrays})
        lines.append(f"    returned = model_{told.last.model}{call}")
        lines.append("    return returned, given | weights")
    text = "\n".join(lines)
    before = ["BEFORE = {}"] * comparing + ["earlier = []"] * ("earlier." in text)
    helpers = [_piece("copied")] * comparing + [_piece("results")] * ("results(" in text)
    return "\n\n\n".join([*["\n".join(before)] * bool(before), *helpers, text])


def _dict(event: Event, arrays: Literals) -> str:
    parts = [f'"{name}": {_value(event, name, arrays)}' for name in event.arrays]
    line = f"{{{', '.join(parts)}}}"
    return line if len(line) < WIDTH - 15 else "{\n        " + ",\n        ".join(parts) + ",\n    }"


def _value(event: Event, name: str, arrays: Literals) -> str:
    text, how = arrays.name(name, event.arrays[name]), event.placed.get(name)
    return f"{text}.copy()" if how is None else f"placed({text}, {how.strides}, {how.offset}, {how.readonly})"


def _called(event: Event, given: Mapping[str, str]) -> str:
    state = f"({given['h_0']}, {given['c_0']})" if "h_0" in given else "None"
    if event.method == "vjp":
        return f".vjp({', '.join([given['x'], state, given.get('lengths', 'None'), *(given[name] for name in _VJP)])})"
    if "lengths" in given:
        return f"({given['x']}, {state}, lengths={given['lengths']})"
    return f"({given['x']})" if state == "None" else f"({given['x']}, {state})"


def _wanted(wanted: Mapping[str, Wanted], arrays: Literals) -> list[str]:
    if not wanted:
        return []
    expected = [arrays.literal(f'EXPECTED["{name}"] = ', one.expected) for name, one in wanted.items()]
    bounds = [arrays.literal(f'BOUND["{name}"] = ', one.bound, rounded=True) for name, one in wanted.items()]
    about = "# What the last call must return, in float64, and how far each number may be off."
    return ["\n".join([about, "EXPECTED, BOUND = {}, {}", *expected, *bounds])]


def _again(told: Reproduction) -> str:
    """How the plain LSTM is called for the values that are expected."""
    last, weights = told.last, _weights(told.events)
    arrays = Literals()
    # The same names as above, for the same arrays are met in the same order.
    _calls(told, arrays)
    names = {name: arrays.name(name, value) for name, value in weights.items()}
    given = {name: arrays.name(name, value) for name, value in last.arrays.items()}
    params = "".join(f'\n        "{name}": {text},' for name, text in names.items()) + "\n    "
    more = "".join(f", {name}={given[name]}" for name in ("h_0", "c_0", "lengths") if name in given)
    return f"lstm(\n    Config({_config(last.config)}),\n    {{{params}}},\n    {given['x']}{more},\n)"


def _weights(events: Sequence[Event]) -> Mapping[str, Array]:
    number = events[-1].model
    return [e for e in events if e.model == number and e.method in ("build", "load")][-1].arrays


def _gradients(told: Reproduction) -> str:
    arrays = Literals()
    _calls(told, arrays)
    given = {name: arrays.name(name, value) for name, value in told.last.arrays.items()}
    names = {name: arrays.name(name, value) for name, value in _weights(told.events).items()}
    state = {name: given[name] for name in ("h_0", "c_0") if name in given}
    inputs = ", ".join(f'"{name}": {text}' for name, text in (names | {"x": given["x"]} | state).items())
    lengths = given.get("lengths", "None")
    text = _piece("gradients").replace("INPUTS_HERE", f"{{{inputs}}}").replace("LENGTHS", lengths)
    for name in _VJP:
        text = text.replace(name.upper(), given[name])
    return text.replace("CONFIG", f"Config({_config(told.last.config)})")


def _judging(told: Reproduction) -> str:
    name = told.kind if told.kind in ("accepted", "changed", "shared") else "values"
    text = _piece("judge_" + name)
    if name != "values":
        return text
    again = ""
    if told.wanted and told.last.called:
        again = _piece("again").replace("AGAIN", _again(told))
        if any(name.startswith("grad ") for name in told.wanted):
            again += "\n" + _piece("again_gradients")
    return "\n\n\n".join(part.strip("\n") for part in (again, text.replace("DTYPE", told.last.config.dtype)) if part)
