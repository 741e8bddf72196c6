"""The options of the commands on recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from conformance.recorded.recording import FORMS

_EXPORT = """\
examples:
  lstm-conformance export calls --form wire; ./my-lstm < calls/calls.requests > calls/calls.responses
  lstm-conformance export calls --capabilities layers lengths --exclude sizes
  lstm-conformance judge calls

A program that speaks the wire protocol (docs/protocol.md) answers the form "wire" as it is. Any other one reads files
of arrays: docs/recorded.md. Models of real sizes take most of the bytes: --exclude sizes leaves them out.
"""

_JUDGE = """\
examples:
  lstm-conformance judge calls                      the answers are beside the calls
  lstm-conformance judge calls answers.npz          they are elsewhere
  lstm-conformance judge one.npz                    one call that somebody recorded, with its weights and results

A call without an answer is never passed. What recorded calls cannot show (earlier calls, refusals, memory, threads) is
not declared.

exit codes: those of `run`
  0  nothing that was asked is wrong
  1  something is wrong
  2  a file is not what it must be
  3  calls were not answered
"""


def describe_export(sub: argparse.ArgumentParser) -> None:
    """The options of ``export``."""
    sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, _EXPORT
    sub.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    told = "what it can do, such as layers, lengths, gradients=x,params, dropout, batch=false (all but training)"
    sub.add_argument("--capabilities", nargs="*", metavar="NAME[=VALUE]", help=told)
    sub.add_argument("--dtypes", nargs="+", metavar="DTYPE", default=["float32"], help="its dtypes (float32)")
    sub.add_argument("--form", choices=FORMS, default=FORMS[0], help="how calls are written (%(default)s)")


def describe_judge(sub: argparse.ArgumentParser) -> None:
    """The options of ``judge``."""
    sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, _JUDGE
    sub.add_argument("files", nargs="+", type=Path, metavar="PATH", help="what `export` wrote, then answers; or a call")
