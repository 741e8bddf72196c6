"""The options of the commands that read reports from files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.drivers.outputs import add_outputs

_FILES = "what `run --json FILE` wrote; - is standard input"

_REPORT = """\
examples:
  lstm-conformance report report.json
  lstm-conformance report report.json --verbose
  lstm-conformance report machine-1.json machine-2.json
  lstm-conformance report --schema

exit codes: those of the run
  0  conformant
  1  not conformant
  2  a file is no report, files do not fit together, or a target of the run could not be judged
  3  interrupted, incomplete, or a named backend is unavailable
"""

_MERGE = """\
The files are parts of one run: some targets, some properties (--only), or both. They must be of one version, seed and
number of cases, and must not contradict each other.

example:
  lstm-conformance run numpy --json 1.json; lstm-conformance run torch-nn --json 2.json
  lstm-conformance merge 1.json 2.json --json report.json

exit codes: those of the run, as of `report`
"""

_DIFF = """\
example:
  lstm-conformance diff yesterday.json today.json

exit codes:
  0  nothing became worse
  1  something became worse: a property fails that did not fail before, one that passed is not known to hold any more,
     or a margin grew more than it does by chance
  2  a file is no report
  3  nothing became worse as far as is known, but one of the two is incomplete
"""


def describe_report(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    """The options of ``report``."""
    sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, _REPORT
    sub.add_argument("files", nargs="*", type=Path, metavar="FILE", help=f"{_FILES}; several are merged")
    sub.add_argument("--verbose", action="store_true", help="show each failure")
    sub.add_argument("--schema", action="store_true", help="print the JSON Schema of the files instead")
    add_outputs(sub)


def describe_merge(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    """The options of ``merge``."""
    sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, _MERGE
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE", help=_FILES)
    sub.add_argument("--json", type=Path, metavar="FILE", required=True, help="write the whole; - is standard output")


def describe_diff(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    """The options of ``diff``."""
    sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, _DIFF
    sub.add_argument("old", type=Path, metavar="OLD", help=_FILES)
    sub.add_argument("new", type=Path, metavar="NEW", help=_FILES)
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the differences; - is standard output")
