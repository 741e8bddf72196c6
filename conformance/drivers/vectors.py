"""The command ``vectors``: what it checks, and what it shows."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from conformance.drivers.console import show
from conformance.errors import UsageError
from conformance.selftest.score import prepare
from conformance.vectors.formats.table import FORMATS
from conformance.vectors.forms import ELEMENTWISE
from conformance.vectors.search import Asked
from conformance.vectors.writing import check, usual_formats, write_vectors


def vectors(options: argparse.Namespace) -> int:
    """Write a set and say what it is worth."""
    for name in ("count", "bytes", "seed"):
        least = int(name != "seed")
        if getattr(options, name) < least:
            raise UsageError(f"--{name} must be at least {least}, got {getattr(options, name)}")
    without = tuple(dict.fromkeys(options.without or ()))
    asked = Asked(options.dtype, without, options.count, options.bytes, options.seed)
    formats = tuple(dict.fromkeys(options.format or usual_formats(options.dtype)))
    check(options.folder, asked, formats)
    prepare()
    with tqdm(leave=False, disable=None) as bar:

        def watch(done: int, total: int, what: str) -> None:
            bar.total, bar.desc = total, what
            bar.update(done - bar.n)

        sets = write_vectors(options.folder, asked, formats, watch)
    lines = [f"wrote {options.folder}: {', '.join(formats)}"]
    shown = len(sets[ELEMENTWISE.name].shown)
    for found in sets.values():
        if any(FORMATS[name].form is found.form for name in formats):
            killed, able = len(found.killed), len(found.shown)
            lines.append(
                f"  {found.form.name}: {len(found.chosen)} vectors, {found.size:,} bytes of arrays, kill {killed} of "
                f"the {able} faults that one call of this form can show ({100 * killed / max(able, 1):.1f} %)"
            )
    lines.append(f"{shown} faults can be shown by one call of a new model; {options.folder / 'README.md'} has the rest")
    show("\n".join(lines))
    return 0
