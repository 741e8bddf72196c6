"""Write docs/conventions.md and docs/porting.md from what ``verify`` found.

python -m implementations.porting.page            from results/conventions.json and results/matrix
python -m implementations.porting.page --check    write nothing; 1 if a page is stale
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.facts import Outcome
from conformance.report.model import BackendReport
from implementations.matrix import ROOT, name_of, pages, projects, read
from implementations.porting.code import HELPERS, whole
from implementations.porting.native import NATIVE
from implementations.porting.sides import SIDES, Side
from implementations.porting.verify import key

FOUND = ROOT / "results/conventions.json"
REPORTS = ROOT / "results/matrix"

Found = Mapping[str, Any]

HEAD = """# The conventions of frameworks

What each framework calls the arrays of an LSTM, and how it lays them out. [porting.md](porting.md) has the code
that moves weights, states and sequences between any two of them.

`nox -s conventions` writes this page. It gives each framework arrays of its own, by its own names, without any
adapter, and compares what comes back with the float64 reference, within its bound. It does so for all 24 orders of
the gates, with and without 1 added to the forget gate's bias, for both orders of the state, and for both orders of
the sequence's axes. **Verified** says that the framework is right as it stands here, and with no other of these
readings. σ and tanh are verified with it: no other activations give these numbers.

What reads nn.LSTM or an ONNX file (torch.export, ExecuTorch, TVM; MNN, IREE) has the conventions of those. The other
implementations of the [table](../results/README.md) were not searched: their adapters in
[implementations/](../implementations) show how they take nn.LSTM's arrays.

"""

COLUMNS = """- *arrays*: nn.LSTM's own are `W_ih` (4H, I), `W_hh` (4H, H), `b_ih` and `b_hh` (4H,). `b` is the sum
  of both biases, `[i]` one gate's block, `.T` the transposition, and `+` between matrices joins them along the last
  axis.
- *gates*: the order of the four blocks; i, f, o are σ, g (also called c, or z) is tanh.
- *forget bias*: what it adds itself, at each call. A framework that only *initialises* the bias with 1 adds 0.
- *state*: the order of its parts, and the axes of each. *sequence*: the axes of x; without L, it takes one step.
- *lengths*, *stacks*, *two directions*, *dtypes* come from the table of [results](../results/README.md), of the
  backend that is named there: "judged" if it declares them and all properties on them hold. "–" is not declared.
"""

PORTING = """# Moving an LSTM from one framework to another

Take the two functions of A that end in what you have, and the two of B that end in what you want:

```
from_A -> W_ih, W_hh, b_ih, b_hh -> to_B            the arrays of one layer and direction
state_from_A -> h, c (N, H) -> state_to_B           its state
output_from_A, x_to_B                               sequences, by (L, N, I)
```

For example, weights that were trained in Keras, for ONNX:

```python
W, R, B = to_onnx(*from_keras({"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias})).values()
```

Layers and directions are moved one by one; ONNX and OpenVINO stack the directions of a layer, `np.stack([…])`.
nn.LSTM names them `weight_ih_l{k}`, and `weight_ih_l{k}_reverse` for the second direction; its h_0 and c_0 have
them in the order layer 0, layer 0 reversed, layer 1 … A framework with one bias gives `b_hh` as zeros, and gets the
sum of both. The reverse direction's half of the features comes second, in nn.LSTM and in all that join them.

The code needs NumPy only. It is written from the conventions that [conventions.md](conventions.md) verifies, and it
is what that page's command runs: the arrays of each framework were given to each other one, which had to return
what the first one had returned, within the bound of float32. The table tells the larger of both errors, as a share
of its bound.

"""


def conventions(found: Found, reports: Mapping[str, BackendReport]) -> str:
    """docs/conventions.md."""
    heads = ("framework", "verified", "arrays", "gates", "biases", "forget bias", "state", "sequence")
    lines = [_line(heads), "|---|---|---|---|---|---|---|---|"]
    for side in SIDES:
        cells = [f"**{side.name}**, {side.what}", _verified(side, found), _arrays(side)]
        forget = f"adds {side.forget}" if side.forget else "adds 0"
        order = "one for each gate" if _apart(side) else side.gates.replace("", ", ").strip(", ")
        cells += [
            order,
            "two" if side.biases == 2 else "one",
            forget,
            f"{', '.join(side.state)}; ({', '.join(side.axes.split())})",
        ]
        lines.append(_line([*cells, f"({', '.join(side.x.split())})"]))
    lines += [
        "",
        COLUMNS,
        _line(("framework", "backend", "lengths", "stacks", "two directions", "dtypes")),
        "|---|---|---|---|---|---|",
    ]
    for side in SIDES:
        for backend in side.backends:
            cells = [side.name, backend, *_judged(backend, reports.get(backend))]
            lines.append(_line(cells))
    return HEAD + "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _apart(side: Side) -> bool:
    return any("[" in told for told in side.arrays.values())


def _arrays(side: Side) -> str:
    """The arrays; of those for each gate the first of each kind."""
    kinds: dict[str, str] = {}
    for name, told in side.arrays.items():
        kinds.setdefault(told.replace("[f]", "[i]").replace("[g]", "[i]").replace("[o]", "[i]"), name)
    told = ", ".join(
        f"{name} = `{expression.replace(' .T', '').replace(' + ', ' + ')}`" for expression, name in kinds.items()
    )
    told = told.replace("`W_ih + W_hh`", "`(W_ih + W_hh).T`").replace("`b_ih + b_hh`", "`b_ih` followed by `b_hh`")
    return told + (", and so for each gate" if _apart(side) else "")


def _verified(side: Side, found: Found) -> str:
    told = []
    for program in side.programs:
        one = found.get("frameworks", {}).get(key(side.id, program))
        where = f" in {program}" if program else ""
        if one is None:
            told.append(f"**not verified**{where}")
        else:
            versions = " ".join(f"{name} {version}" for name, version in list(one["versions"].items())[:1])
            told.append(f"{'verified' if one['verified'] else '**not verified**'}{where}: {versions}")
    return "; ".join(told)


def _judged(backend: str, report: BackendReport | None) -> Iterator[str]:
    """What the report of a backend says of lengths, stacks and directions, and of dtypes."""
    if report is None:
        yield from ("not judged",) * 4
        return
    for group in ("lengths", "stack", "direction"):
        own = [v for v in report.verdicts if v.property.startswith(f"{group}.") and v.outcome != Outcome.NOT_DECLARED]
        good = sum(v.outcome == Outcome.PASSED for v in own)
        told = ("judged" if good == len(own) else f"{good} of {len(own)} hold") if own else "–"
        ignored = _ignoring(backend) if group == "lengths" and not own else None
        yield f"ignored: [{ignored[:-16]}](findings/{ignored}.md)" if ignored else told
    yield ", ".join(report.dtypes)


def _ignoring(backend: str) -> str | None:
    """The finding that the project of a backend takes lengths and ignores them."""
    own = next((project.findings for project in projects() if backend in project.backends), ())
    return next((id for id in pages() if id.startswith(own) and id.endswith("-lengths-ignored")), None)


def porting(found: Found) -> str:
    """docs/porting.md."""
    lines = [PORTING, *_ported(found), "## The code", "", "```python", HELPERS.rstrip(), "```", ""]
    for side in SIDES:
        lines += [
            f"### {side.name}",
            "",
            f"{side.what[0].upper()}{side.what[1:]}.",
            "",
            "```python",
            whole(side),
            "```",
            "",
        ]
    return "\n".join(lines)


def _ported(found: Found) -> Iterator[str]:
    """Which weights were judged in which framework."""
    all_of = len(found.get("frameworks", {}))
    yield _line(("weights of all others, judged in", "right", "largest share of the bound, of either"))
    yield "|---|---|--:|"
    for id, program in NATIVE:
        name = next(side.name for side in SIDES if side.id == id) + (f" in {program}" if program else "")
        shares = found.get("ported", {}).get(key(id, program))
        if shares is None:
            yield _line((name, "**not judged**", "–"))
        else:
            right = sum(share <= 1.0 for share in shares.values())
            yield _line((name, f"{right} of {all_of}", f"{max(shares.values()):.2f}"))
    yield ""


def files() -> dict[Path, str]:
    """The pages, by path."""
    found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    reports = {name_of(own): own for report in read(REPORTS.glob("*.json")) for own in report.backends}
    return {ROOT / "docs/conventions.md": conventions(found, reports), ROOT / "docs/porting.md": porting(found)}


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    given, stale = parser.parse_args(), 0
    for path, text in files().items():
        if not given.check:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale += 1
            print(f"{path.relative_to(ROOT)} is stale: python -m implementations.porting.page")
    return min(stale, 1)


if __name__ == "__main__":
    sys.exit(main())
