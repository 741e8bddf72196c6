"""The README of a set of vectors, and its licence."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.conventions.parameters import ORDERS
from conformance.report.shell import command_line
from conformance.vectors.formats.plain import VERSION
from conformance.vectors.formats.table import FORMATS
from conformance.vectors.forms import ELEMENTWISE
from conformance.vectors.search import Asked, Beside, VectorSet
from conformance.version import __version__

#: The licence of all files of a set, by SPDX.
LICENCE = "CC0-1.0"

#: So many faults that a vector kills first are named in the table.
_NAMED = 6


def licence() -> str:
    """The text of LICENSE.txt."""
    return f"""\
SPDX-License-Identifier: {LICENCE}

The files of this folder, data and programs, were made by lstm-conformance {__version__}. To the extent possible under
law, its authors have waived all copyright and related or neighbouring rights to them (CC0 1.0 Universal). You may copy,
change and distribute them, in projects of any licence, without asking and without naming anybody. There is no warranty.

The whole text: https://creativecommons.org/publicdomain/zero/1.0/legalcode
"""


def readme(
    asked: Asked,
    formats: Sequence[str],
    sets: dict[str, VectorSet],
    others: Sequence[Beside | str],
    sizes: dict[str, int],
) -> str:
    """The text of README.md: the files, how to compare, the score, and a table of the vectors of each form."""
    used = [found for found in sets.values() if any(FORMATS[name].form is found.form for name in formats)]
    parts = [
        f"# Test vectors for an LSTM ({asked.dtype})",
        f"Format {VERSION}, made by lstm-conformance {__version__}:",
        f"```sh\n{_command(asked, formats)}\n```",
        "Each vector is one call of a new model: parameters, x, an initial state and lengths if they are given, and "
        "what a correct LSTM returns. The equations and the layout are those of torch.nn.LSTM (gates i, f, g, o). The "
        "vectors were chosen by the faults that they kill.",
        "## Files",
        _files(formats, sizes),
        _HOW,
        "## Score",
        _score(asked, formats, used, sets, others),
    ]
    for found in used:
        parts += [f"## Vectors {_of(found, formats)}", _vectors(found)]
    parts += ["## Licence", f"{LICENCE}: copy the files into any project. See LICENSE.txt."]
    return "\n\n".join(parts) + "\n"


_HOW = """\
`sha256sum -c SHA256SUMS` checks all files.

## How to compare

Expected numbers are those of an LSTM in float64, rounded. Beside each stands its **bound**: no correct LSTM is farther
off, in whatever order it sums and whichever of the usual forms of σ and tanh it uses. Nothing else is allowed: no rtol,
no atol. Where a number is expected that is not finite, the same one must come. Past a row's length the output is 0. In
ONNX and WebNN, which compare with one tolerance, the vectors are those whose bounds are within it."""


def _command(asked: Asked, formats: Sequence[str]) -> str:
    words = ["lstm-conformance", "vectors", "DIR", "--format", *formats, "--dtype", asked.dtype]
    words += ["--without", *asked.without] if asked.without else []
    words += ["--count", str(asked.count), "--bytes", str(asked.size), "--seed", str(asked.seed)]
    return command_line(words)


def _files(formats: Sequence[str], sizes: dict[str, int]) -> str:
    rows = [[f"`{name}/`", FORMATS[name].files, f"{sizes[name]:,}"] for name in formats]
    rows.append(["`kills.json`", "each vector with all faults that it kills", ""])
    return _table(rows, ["", "", "bytes"])


def _of(found: VectorSet, formats: Sequence[str]) -> str:
    """The formats of a form that were written."""
    names = [name for name in formats if FORMATS[name].form is found.form]
    return f"of {', '.join(f'`{name}`' for name in names)}"


def _score(
    asked: Asked,
    formats: Sequence[str],
    used: Sequence[VectorSet],
    sets: dict[str, VectorSet],
    others: Sequence[Beside | str],
) -> str:
    shown = sets[ELEMENTWISE.name].shown
    rows = [
        [
            f"these, {_of(found, formats)}",
            len(found.chosen),
            f"{found.size:,}",
            len(found.killed),
            _percent(len(found.killed & shown), len(shown)),
            f"{len(found.killed)} of {len(found.shown)}",
            f"{found.orders} of {len(ORDERS)}",
        ]
        for found in used
    ]
    for other in others:
        if isinstance(other, Beside):
            able = sets[other.form].shown if other.form in sets else frozenset[str]()
            share = f"{len(other.kills & able)} of {len(able)}" if able else ""
            killed = _percent(len(other.kills), len(shown))
            orders = f"{other.orders} of {len(ORDERS)}"
            rows.append([other.name, other.vectors, "", len(other.kills), killed, share, orders])
    heads = [
        "",
        "vectors",
        "bytes of arrays",
        "killed",
        f"of all {len(shown)}",
        "of those the form can show",
        "gate orders accepted",
    ]
    lines = [
        f"One call of a new model can show {len(shown)} of the catalogue's faults in {asked.dtype}"
        + (f", without {', '.join(asked.without)}" if asked.without else "")
        + ": a fault counts if one of the candidates, some of them larger than a vector may be, gets a result that the "
        "suite's own judgement of one call rejects. The others need several calls, training, views or another dtype, "
        "or accept what nn.LSTM refuses.",
        _table(rows, heads),
        *(
            f"{found.correct} correct LSTMs that compute differently stay within {found.margin:.2f} of the tolerance "
            f"{_of(found, formats)}: {found.form.compared}."
            for found in used
        ),
    ]
    for other in others:
        lines.append(f"{other.note}." if isinstance(other, Beside) else f"{other}.")
    return "\n\n".join(lines)


def _vectors(found: VectorSet) -> str:
    rows = []
    for one in found.chosen:
        named = sorted(one.first)
        text = ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
        vector = one.vector
        rows.append(
            [
                one.name,
                _made(vector.text, vector.case.describe()),
                vector.size,
                f"{vector.largest_bound:.1e}",
                len(one.kills),
                text,
            ]
        )
    table = _table(rows, ["vector", "call", "bytes", "largest bound", "kills", "kills first"])
    left = sorted(found.shown - found.killed)
    return f"{table}\n\nNot killed ({len(left)}): {', '.join(left) or 'none'}."


def _made(text: str, described: str) -> str:
    """What the model and the call are, and what is special about their values."""
    return described if "=" in text and " fill=" not in text else f"{described}; {_fill(text)}"


def _fill(text: str) -> str:
    fill = text.partition(" fill=")[2].partition(" ")[0]
    return f"values: {fill}" if fill else text


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _table(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    """A table of Markdown, without the spaces that would make it wide."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
