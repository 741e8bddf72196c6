"""The commands that read reports from files: ``report`` shows them, ``merge`` joins them, ``diff`` compares them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance.drivers.console import show, width
from conformance.drivers.files import STANDARD_OUTPUT, claimed
from conformance.drivers.outputs import outputs, stream
from conformance.drivers.showing import exit_code, show_report
from conformance.drivers.stored import read_report
from conformance.errors import UsageError
from conformance.report import english
from conformance.report.conclusion import conclusion
from conformance.report.data import dumps
from conformance.report.difference import compare
from conformance.report.difference_text import told
from conformance.report.merging import Part
from conformance.report.merging import merge as merge_parts
from conformance.report.model import Report
from conformance.report.names import named
from conformance.report.records import encode
from conformance.report.schema import schema


def report(options: argparse.Namespace) -> int:
    """Show the reports in files as ``run`` shows its own, and write them in other forms."""
    if options.schema:
        if options.files:
            raise UsageError("--schema is about no file", f"leave {options.files[0]} out")
        show(json.dumps(schema(), indent=1))
        return 0
    if not options.files:
        raise UsageError("report needs a file", "`run --json FILE` writes one")
    with claimed("--json", options.json) as write, outputs(options) as write_others:
        whole = _merged(options.files)
        show_report(whole, options.verbose, stream(options))
        if options.json is not None:
            write(dumps(whole))
        write_others(whole)
    return exit_code(whole)


def merge(options: argparse.Namespace) -> int:
    """Join the reports in files into one."""
    with claimed("--json", options.json) as write:
        whole = _merged(options.files)
        write(dumps(whole))
    verdicts = english.counted(len(whole.verdicts), "verdict")
    told = f"{options.json}: {english.counted(len(options.files), 'report')} as one, with {verdicts}"
    show(f"{told}\n\n{conclusion(named(whole))}", sys.stderr if options.json == STANDARD_OUTPUT else sys.stdout)
    return exit_code(whole)


def _merged(files: Sequence[Path]) -> Report:
    return merge_parts([Part(str(file), read_report(file)) for file in files])


def diff(options: argparse.Namespace) -> int:
    """Tell what became worse and what became better from one report to another."""
    with claimed("--json", options.json) as write:
        difference = compare(read_report(options.old), read_report(options.new))
        write(json.dumps(encode(difference), indent=1))
    show(told(difference, width()), sys.stderr if options.json == STANDARD_OUTPUT else sys.stdout)
    if difference.worse:
        return 1
    return 0 if difference.whole else 3
