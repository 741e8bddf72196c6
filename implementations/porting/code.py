"""The conversions as NumPy code, written from a side's convention: what docs/porting.md shows, and what is judged."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from conformance.spec import GATES
from implementations.porting.sides import OURS, Side

HELPERS = '''import numpy as np


def packed(array, order):
    """The blocks i, f, g, o along the first axis in another order."""
    blocks = dict(zip("ifgo", np.split(array, 4)))
    return np.concatenate([blocks[gate] for gate in order])


def unpacked(array, order):
    """The inverse of ``packed``."""
    blocks = dict(zip(order, np.split(array, 4)))
    return np.concatenate([blocks[gate] for gate in "ifgo"])


def forget(bias, by):
    """``by`` added to the forget gate's part of a bias."""
    i, f, g, o = np.split(bias, 4)
    return np.concatenate([i, f + by, g, o])
'''

#: How h and c (N, H) become a framework's parts of a state, and back, by the axes of these.
_AXES = {
    "N H": ("", ""),
    "1 H": ("", ""),
    "1 N H": ("[None]", "[0]"),
    "N 1 H": ("[:, None]", "[:, 0]"),
    "H": ("[0]", "[None]"),
}

#: How x (L, N, I) becomes a framework's sequence, and its output (L, N, H) again, by the axes of the sequence.
_SEQUENCES = {
    "L N I": ("", ""),
    "N L I": (".swapaxes(0, 1)", ".swapaxes(0, 1)"),
    "L I": ("[:, 0]", "[:, None]"),
    "N I": ("", ""),
    "I": ("[:, 0]", "[:, None]"),
}


def weights_to(side: Side) -> str:
    """``to_ID(W_ih, W_hh, b_ih, b_hh)``: the framework's arrays by their names."""
    told = [f'"{name}": {_made(side, expression)},' for name, expression in side.arrays.items()]
    lines = [
        f"def to_{side.id}({', '.join(OURS)}):",
        f'    """nn.LSTM\'s arrays of one layer and direction -> {side.name}\'s."""',
    ]
    if side.biases == 1:
        lines.append(f"    b = {'forget(b_ih + b_hh, -1)' if side.forget else 'b_ih + b_hh'}")
    return "\n".join([*lines, "    return {", *(f"        {line}" for line in told), "    }"])


def weights_from(side: Side) -> str:
    """``from_ID(a)``: W_ih, W_hh, b_ih, b_hh of the framework's arrays by their names."""
    lines = [f"def from_{side.id}(a):", f'    """{side.name}\'s arrays of one layer and direction -> nn.LSTM\'s."""']
    parts: dict[str, dict[str, str]] = {}
    for name, expression in side.arrays.items():
        array, terms = f'a["{name}"]', re.findall(r"(\w+)(?:\[(\w)\])?", expression.replace(".T", ""))
        array += ".T" if expression.endswith(".T") else ""
        if len(terms) > 1:
            (one, _), (other, _) = terms
            joined = _unpacked(side, array)
            if one.startswith("b"):
                lines += [f'    {one}, {other} = (unpacked(part, "{side.gates}") for part in np.split({array}, 2))']
            else:
                lines += [f"    joined = {joined}", "    H = len(joined) // 4"]
                lines += [f"    {one}, {other} = joined[:, :-H], joined[:, -H:]"]
        else:
            [(kind, gate)] = terms
            parts.setdefault(kind, {})[gate] = array
    for kind, of in parts.items():
        value = _unpacked(side, of[""]) if "" in of else f"np.concatenate([{', '.join(of[g] for g in GATES)}])"
        lines.append(f"    {kind} = {value}")
    if side.biases == 1:
        lines.append(f"    b_ih = {'forget(b, 1)' if side.forget else 'b'}")
        lines.append("    b_hh = np.zeros_like(b)")
    return "\n".join([*lines, f"    return {', '.join(OURS)}"])


def states(side: Side) -> str:
    """``state_to_ID(h, c)`` and ``state_from_ID(first, second)``."""
    to, back = _AXES[side.axes]
    first, second = side.state
    given = {"h": f"h{to}", "c": f"c{to}"}
    read = {first: f"first{back}", second: f"second{back}"}
    return "\n".join(
        [
            f"def state_to_{side.id}(h, c):",
            f'    """(N, H) each -> {side.name}\'s {first} and {second}, ({", ".join(side.axes.split())}) each."""',
            f"    return {given[first]}, {given[second]}",
            "",
            "",
            f"def state_from_{side.id}(first, second):",
            f'    """{side.name}\'s state -> h and c, (N, H) each."""',
            f"    return {read['h']}, {read['c']}",
        ]
    )


def sequences(side: Side) -> str:
    """``x_to_ID(x)`` and ``output_from_ID(output)``."""
    to, back = _SEQUENCES[side.x]
    alone = "; one step of it at a time" if "L" not in side.x else ""
    return "\n".join(
        [
            f"def x_to_{side.id}(x):",
            f'    """(L, N, I) -> what {side.name} reads, ({", ".join(side.x.split())}){alone}."""',
            f"    return x{to}",
            "",
            "",
            f"def output_from_{side.id}(output):",
            f'    """What {side.name} returns -> (L, N, H)."""',
            f"    return output{back}",
        ]
    )


def _made(side: Side, expression: str) -> str:
    """The code of one of the framework's arrays."""
    body, end = (expression[:-2].rstrip(), ".T") if expression.endswith(".T") else (expression, "")
    terms = [_term(side, term) for term in body.split(" + ")]
    return (f"np.concatenate([{', '.join(terms)}], axis=-1)" if len(terms) > 1 else terms[0]) + end


def _term(side: Side, term: str) -> str:
    kind, gate = re.fullmatch(r"(\w+)(?:\[(\w)\])?", term).groups()  # pyright: ignore[reportOptionalMemberAccess]
    if gate:
        return f"np.split({kind}, 4)[{GATES.index(gate)}]"
    return kind if side.gates == GATES else f'packed({kind}, "{side.gates}")'


def _unpacked(side: Side, array: str) -> str:
    return array if side.gates == GATES else f'unpacked({array}, "{side.gates}")'


def whole(side: Side) -> str:
    """All six functions of a side."""
    return "\n\n\n".join([weights_to(side), weights_from(side), states(side), sequences(side)])


@lru_cache(maxsize=4096)
def functions(side_text: str) -> dict[str, Callable[..., Any]]:
    """The functions that a text defines beside the helpers, by name."""
    names: dict[str, Any] = {}
    exec(f"{HELPERS}\n\n{side_text}", names)
    return names
