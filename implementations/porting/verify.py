"""Run each framework that is installed with its own arrays, and see which reading of them agrees with nn.LSTM.

    python -m implementations.porting.verify FILE          the conventions of those that are installed, into FILE
    python -m implementations.porting.verify FILE --port   the weights of each framework in FILE, judged in these
    … --check                                              the same, and FILE stays: 1 if it says something else
    … --backends NAME…                                     of what these backends are, which must be installed

For each framework, every order of the gates, with and without 1 added to the forget gate, either order of the state and
either order of the sequence's axes are tried: the oracle, by its bound, says which agree. A convention is verified if
it agrees and no other does.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from conformance.bounds.forward import Expectation, judge
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import Case, realise
from conformance.cases.recipe import parse
from conformance.conventions.parameters import ORDERS
from conformance.spec import Array, Params, Result
from implementations.porting.code import functions, whole
from implementations.porting.native import NATIVE, Arrays, versions
from implementations.porting.sides import OURS, SIDES, Side

_NAMES = dict(zip(OURS, ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), strict=True))
_BY_ID = {side.id: side for side in SIDES}

#: One of whose readings are tried, by the fields of a side.
Reading = tuple[str, int, str, str]


def key(side: str, program: str) -> str:
    """The name of a side in a program, in the file."""
    return f"{side}: {program}" if program else side


def backend_of(id: str, program: str) -> str:
    """The backend of the table that runs a side in a program."""
    return _BY_ID[id].backends[_BY_ID[id].programs.index(program)]


def case_of(side: Side) -> Case:
    """The model and the call: one layer and direction, all sizes different; one row where the framework has one."""
    rows = 2 if "N" in side.x else 1
    return realise(parse(f"I=3 H=5 L=4 N={rows} state=both seed={len(side.id)}"))


def ported(side: Side, params: Params) -> Arrays:
    """The framework's arrays of a model."""
    to = functions(whole(side))[f"to_{side.id}"]
    return {name: np.ascontiguousarray(a) for name, a in to(*(params[_NAMES[own]] for own in OURS)).items()}


def ours(side: Side, arrays: Arrays) -> Params:
    """A model of the framework's arrays."""
    found = functions(whole(side))[f"from_{side.id}"](arrays)
    return {_NAMES[own]: np.ascontiguousarray(a) for own, a in zip(OURS, found, strict=True)}


def called(side: Side, program: str, arrays: Arrays, case: Case) -> Result:
    """What the framework returns for a case's x and state, as nn.LSTM does."""
    assert case.state is not None
    names = functions(whole(side))
    given = [names[f"x_to_{side.id}"](case.x), *names[f"state_to_{side.id}"](*(part[0] for part in case.state))]
    copies = {name: np.array(a) for name, a in arrays.items()}
    output, first, second = NATIVE[side.id, program][1](copies, *(np.array(a, order="C") for a in given))
    parts = names[f"state_from_{side.id}"](np.array(first), np.array(second))
    h_n, c_n = (np.reshape(part, (1, case.batch, -1)) for part in parts)
    return Result(np.array(names[f"output_from_{side.id}"](np.array(output))), h_n, c_n)


def share(case: Case, result: Result) -> float:
    """The largest error as a share of its bound; infinite where a shape is wrong."""
    h_0, c_0 = case.initial()
    if result.output is None or result.output.shape != (*case.x.shape[:2], h_0.shape[-1]):
        return float("inf")
    if any(part is None or part.shape != want.shape for part, want in ((result.h_n, h_0), (result.c_n, c_0))):
        return float("inf")
    declared = arithmetic("float32", {})
    assert declared is not None
    found = judge(Expectation(case, declared), lambda layers: result)
    return float(max((finding.margin() for finding in found), default=float("inf")))


def readings(side: Side) -> Iterator[Side]:
    """The side as it is stated first, and all other ways to read it."""
    sequences = ("L N I", "N L I") if side.x in ("L N I", "N L I") else (side.x,)
    apart = any("[" in told for told in side.arrays.values())
    for gates, forget, state, x in product(ORDERS, (0, 1), ("hc", "ch"), sequences):
        # What it adds itself can be told of a bias alone that stands for both.
        if side.biases == 1 or not forget:
            other = replace(side, forget=forget, state=state, x=x)
            yield replace(other, arrays=exchanged(side.arrays, gates)) if apart else replace(other, gates=gates)


def exchanged(arrays: dict[str, str], gates: str) -> dict[str, str]:
    """An array for each gate, of which those for i, f, g, o are taken for others'."""
    letters = str.maketrans(dict(zip("ifgo", gates, strict=True)))
    return {name: re.sub(r"\[.\]", lambda found: found[0].translate(letters), told) for name, told in arrays.items()}


def reading(side: Side) -> Reading:
    """What is searched of a side; of arrays for each gate, the gates that they are taken for, in their order."""
    order = "".join(re.findall(r"W_ih\[(.)\]", " ".join(side.arrays.values()))) or side.gates
    return order, side.forget, side.state, side.x


def agreeing(side: Side, program: str, arrays: Arrays, case: Case) -> dict[Reading, float]:
    """The readings with which the framework, given these arrays, is right, each with its largest error's share."""
    results: dict[tuple[str, str], Result | None] = {}
    found = {}
    for other in readings(side):
        asked = other.state, other.x
        if asked not in results:
            try:
                results[asked] = called(other, program, arrays, case)
            except ImportError:
                raise
            except Exception:
                # The framework refuses what is not so.
                results[asked] = None
        result = results[asked]
        if result is not None:
            margin = share(replace(case, params=ours(other, arrays)), result)
            if margin <= 1.0:
                found[reading(other)] = margin
    return found


def record(side: Side, program: str) -> dict[str, Any]:
    """What is found of a framework: the readings that agree, its arrays, and what it returns for them."""
    told = versions(NATIVE[side.id, program][0])
    case = case_of(side)
    arrays = ported(side, case.params)
    found = agreeing(side, program, arrays, case)
    result = called(side, program, arrays, case)
    return {
        "side": asdict(side) | {"program": program},
        "versions": told,
        "agree": [[*each, margin] for each, margin in found.items()],
        "verified": [*found] == [reading(side)],
        "arrays": {name: a.tolist() for name, a in arrays.items()},
        "returned": [part.tolist() for part in result if part is not None],
    }


def port(record: dict[str, Any], side: Side, program: str) -> float:
    """A framework's arrays and returned numbers, judged here: the largest error's share of its bound, of both.

    The oracle of the one framework's arrays judges what that one returned, and what this one returns for them.
    """
    other = Side(**{name: value for name, value in record["side"].items() if name != "program"})
    arrays = {name: np.array(value, np.float32) for name, value in record["arrays"].items()}
    case = case_of(other)
    case = replace(case, params=ours(other, arrays))
    returned = Result(*(np.array(part, np.float32) for part in record["returned"]))
    margins = [share(case, returned)]
    assert case.state is not None
    rows: list[Array | slice] = [slice(None)] if "N" in side.x else [slice(n, n + 1) for n in range(case.batch)]
    for row in rows:
        h_0, c_0 = case.state
        own = replace(case, x=case.x[:, row], state=(h_0[:, row], c_0[:, row]))
        margins.append(share(own, called(side, program, ported(side, own.params), own)))
    return max(margins)


# Processes: a framework may end its own, and some cannot share one


def _alone(side: str, program: str, *more: str) -> tuple[dict[str, Any] | None, str]:
    """What a process of its own prints about one framework; nothing, and why, where it is not installed or ends."""
    command = [sys.executable, "-m", "implementations.porting.verify", "--one", side, program, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    return None, done.stderr.strip().rpartition("\n")[2]


def main() -> int:
    """Search or judge; 1 if a convention is not verified, or another framework's weights are not right here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE")
    parser.add_argument("--port", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--backends", nargs="*", metavar="NAME")
    parser.add_argument("--one", nargs=2, metavar=("SIDE", "PROGRAM"))
    given = parser.parse_args()
    if given.one:
        side, program = _BY_ID[given.one[0]], given.one[1]
        if given.port:
            there = json.loads(given.file.read_text(encoding="utf-8"))
            print(json.dumps({name: port(told, side, program) for name, told in there["frameworks"].items()}))
        else:
            print(json.dumps(record(side, program)))
        return 0
    there = json.loads(given.file.read_text(encoding="utf-8")) if given.file.exists() else {}
    there = {"frameworks": {}, "ported": {}} | there
    wrong = 0
    for id, program in NATIVE:
        if given.backends is None:
            try:
                versions(NATIVE[id, program][0])
            except ImportError:
                continue
        elif backend_of(id, program) not in given.backends:
            continue
        if given.port:
            wrong += _port(id, program, given.file, there)
        else:
            wrong += _search(id, program, there, given.check)
    if not given.check:
        given.file.write_text(json.dumps(there, sort_keys=True) + "\n", encoding="utf-8")
    return min(wrong, 1)


def _search(id: str, program: str, there: dict[str, Any], check: bool) -> bool:
    """Search one framework's readings and keep what is found; whether it is not as it is stated, or not as it was."""
    found, why = _alone(id, program)
    name = key(id, program)
    if found is None:
        print(f"{name}: {why}", flush=True)
        return True
    known = there["frameworks"].get(name, {})
    same = not check or (found["arrays"], found["verified"]) == (known.get("arrays"), known.get("verified"))
    told = "verified" if found["verified"] else f"right as {[each[:-1] for each in found['agree']]}"
    print(f"{name}: {told}{'' if same else '; the file says something else'}", flush=True)
    there["frameworks"][name] = found
    return not (found["verified"] and same)


def _port(id: str, program: str, file: Path, there: dict[str, Any]) -> bool:
    """Judge all frameworks' weights in one and keep what is found; whether some are not right."""
    found, why = _alone(id, program, str(file), "--port")
    name = key(id, program)
    if found is None:
        print(f"{name}: {why}", flush=True)
        return True
    there["ported"][name] = found
    bad = [other for other, margin in found.items() if not margin <= 1.0]
    print(f"{name}: {len(found)} frameworks' weights{'; WRONG: ' + ', '.join(bad) if bad else ''}", flush=True)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
