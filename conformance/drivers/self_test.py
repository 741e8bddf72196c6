"""The command ``self-test``: does the suite catch what it must?"""

from __future__ import annotations

import argparse
import json
import sys

from tabulate import tabulate
from tqdm import tqdm

from conformance.drivers.console import show
from conformance.drivers.files import STANDARD_OUTPUT, claimed
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.faults import FAULTS
from conformance.selftest import diagnosed, diagnosed_table, pairs, peers, score


def self_test(options: argparse.Namespace) -> int:
    """Judge the catalogue's faults, show which are caught, and give the exit code."""
    if options.list:
        rows = [[fault.id, fault.kind, fault.shows_when, fault.description] for fault in FAULTS.values()]
        show(tabulate(rows, ["fault", "class", "shows when", "description"]))
        return 0
    if options.pairs and (options.faults or options.attribute or options.peers):
        raise UsageError("--pairs draws its own faults", "leave the faults' ids, --attribute and --peers out")
    if options.own_left_out and not options.diagnose:
        raise UsageError("--own-left-out is about hypotheses, which nothing has without --diagnose", "add --diagnose")
    if options.diagnose and (options.attribute or options.peers or options.no_fixed_set or options.cases is not None):
        others = "--attribute, --peers, --cases and --no-fixed-set"
        raise UsageError("--diagnose judges each fault by a quick run", f"leave {others} out")
    # To the end of all cases it takes an hour; what a property catches at all it catches in the fixed set.
    usual = 0 if options.attribute or options.pairs else Settings.cases
    settings = Settings(usual if options.cases is None else options.cases, options.seed, fixed=not options.no_fixed_set)
    beside = peers.peers() if options.peers else ()
    with claimed("--json", options.json) as write:
        with tqdm(unit="fault", leave=False, disable=None) as bar:

            def watch(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            if options.diagnose:
                faults, left_out = options.faults, options.own_left_out
                test = diagnosed.diagnosed_test(faults, options.pairs, left_out, options.seed, options.jobs, watch)
                text, data = diagnosed_table.table(test), diagnosed.to_json(test)
            elif options.pairs:
                test = pairs.pair_test(options.pairs, settings, options.jobs, watch)
                text, data = pairs.table(test), pairs.to_json(test)
            else:
                test = score.self_test(options.faults, settings, options.attribute, options.jobs, watch, beside)
                text, data = score.table(test, options.attribute), score.to_json(test)
        try:
            show(text, sys.stderr if options.json == STANDARD_OUTPUT else sys.stdout)
        finally:
            write(json.dumps(data, indent=1))
    return 3 if test.missing else 0 if test.passed else 1
