"""The options of the command ``vectors``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.vectors.formats.table import FORMATS
from conformance.vectors.forms import OPTIONS
from conformance.vectors.search import Asked
from conformance.vectors.writing import DTYPES

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
