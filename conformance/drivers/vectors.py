"""The command ``vectors``: its options, and what it shows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from conformance.drivers.console import show
from conformance.errors import UsageError
from conformance.selftest.score import prepare
from conformance.vectors.formats.table import FORMATS
from conformance.vectors.forms import ELEMENTWISE, OPTIONS
from conformance.vectors.search import Asked
from conformance.vectors.writing import DTYPES, check, usual_formats, write_vectors

_ABOUT = """\
Writes a small set of calls with their expected results and bounds, chosen so that they kill as many of the catalogue's
faulty LSTMs as they can. DIR/README.md says how many, and DIR/kills.json which. It takes about two minutes.

formats: {formats}
options that --without leaves out: {options}

examples:
  lstm-conformance vectors DIR
  lstm-conformance vectors DIR --format c --without projection nonfinite --bytes 200000
  lstm-conformance vectors DIR --format onnx safetensors      needs pip install "lstm-conformance[vectors]"
"""


def describe_vectors(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    """The options of ``vectors``."""
    usual = Asked()
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    sub.epilog = _ABOUT.format(formats=", ".join(FORMATS), options=", ".join(OPTIONS))
    sub.add_argument("folder", type=Path, metavar="DIR", help="a new folder, or an empty one")
    wanted = "write these formats (all that need no other package)"
    sub.add_argument("--format", action="extend", nargs="+", metavar="F", help=wanted)
    sub.add_argument("--without", action="extend", nargs="+", metavar="OPTION", help="use none of these options")
    sub.add_argument("--dtype", default=usual.dtype, help=f"{' or '.join(DTYPES)} (%(default)s)")
    numbers = (
        ("--count", usual.count, "at most N vectors (%(default)s)"),
        ("--bytes", usual.size, "at most N bytes of arrays (%(default)s)"),
        ("--seed", usual.seed, "the seed of all values (%(default)s)"),
    )
    for name, default, help in numbers:
        sub.add_argument(name, type=int, metavar="N", default=default, help=help)


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
