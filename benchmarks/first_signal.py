"""How long until a wrong LSTM is seen to be wrong? ``python -m benchmarks.first_signal``.

Catalogued faults of all classes, each in a file that imports torch, as a user's would, are judged by the command line
on a terminal; with ``--starter``, what a newcomer has: the file that ``lstm-conformance new`` writes, and an nn.Module
with a mistake. The clock starts with the command, and stops when the first failure stands on the screen. Processor
seconds, of the command and of the process that holds the fault, are those of an idle machine; seconds are this one's.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import psutil
from tabulate import tabulate

from conformance.faults import FAULTS
from conformance.faults.fault import CLASSES, OPTIONS, Fault

#: The user's file.
_FILE = """
import torch
from conformance.faults import FAULTS, backend_of
wrong = backend_of(FAULTS[{fault!r}])
"""

#: An nn.Module whose c_n is off by a thousandth.
_MODULE = """
from torch import nn
class wrong(nn.LSTM):
    def forward(self, x, state=None):
        output, (h_n, c_n) = super().forward(x, state)
        return output, (h_n, c_n * 1.001)
"""

_FIRST = re.compile(r"wrong\.py:\w+: (\w+\.[\w-]+) fails: ")


def picked(count: int, seed: int, kinds: tuple[str, ...] = CLASSES) -> list[Fault]:
    """Faults drawn from each class in turn."""
    rng, pools = random.Random(seed), {kind: [f for f in FAULTS.values() if f.kind == kind] for kind in kinds}
    for pool in pools.values():
        rng.shuffle(pool)
    order = [
        pool[place] for place in range(max(map(len, pools.values()))) for pool in pools.values() if place < len(pool)
    ]
    return order[:count]


def first_signal(text: str, attribute: str, limit: float, options: list[str]) -> list[object]:
    """Of a file: the property of its first failure on the screen, seconds until then, and processor seconds."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "wrong.py").write_text(text)
        screen, terminal = pty.openpty()
        command = [sys.executable, "-m", "conformance", "run", f"wrong.py:{attribute}", *options]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH")))),
        }
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=terminal, stderr=terminal)
        os.close(terminal)
        shown, found = "", None
        try:
            while found is None and (left := began + limit - time.monotonic()) > 0:
                if select.select([screen], [], [], left)[0]:
                    try:
                        shown += os.read(screen, 1 << 16).decode("utf-8", "replace")
                    except OSError:
                        break
                    found = _FIRST.search(shown)
            seconds, processor = time.monotonic() - began, _processor_seconds(process.pid)
        finally:
            process.terminate()
            os.close(screen)
            process.wait()
    return [found and found[1], seconds, processor]


def _processor_seconds(pid: int) -> float:
    try:
        whole = psutil.Process(pid)
        times = [one.cpu_times() for one in (whole, *whole.children(recursive=True))]
    except psutil.NoSuchProcess:
        return float("nan")
    return sum(each.user + each.system for each in times)


def main() -> int:
    """Measure, and print a row for each fault, the medians and the worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=20, help="so many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws them (%(default)s)")
    parser.add_argument(
        "--limit", type=float, default=120.0, help="seconds after which a fault is given up (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="of runs with --quick")
    parser.add_argument("--starter", action="store_true", help="of the starter and of a wrong nn.Module instead")
    options = parser.parse_args()
    more, rows = ["--quick"] * options.quick, []
    if options.starter:
        starter = resources.files("conformance.targets").joinpath("starter.py").read_text(encoding="utf-8")
        judged = [("lstm-conformance new", "starter", starter, "my_lstm", more)]
        judged += [("c_n off by a thousandth", "nn.Module", _MODULE, "wrong", more)]
    else:
        # A missing guard is no failure unless the run is strict.
        judged = [
            (
                fault.id,
                fault.kind,
                _FILE.format(fault=fault.id),
                "wrong",
                [*["--strict"] * (fault.kind == OPTIONS), *more],
            )
            for fault in picked(options.faults, options.seed)
        ]
    for name, kind, text, attribute, words in judged:
        rows.append([name, kind, *first_signal(text, attribute, options.limit, words)])
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    print(tabulate(rows, ["fault", "class", "first", "s", "processor s"], floatfmt=".1f"))
    seen = [row for row in rows if row[2]]
    for name, at in (("seconds", 3), ("processor seconds", 4)):
        taken = [float(str(row[at])) for row in seen]
        print(f"{name}: median {statistics.median(taken):.1f}, worst {max(taken):.1f}")
    print(f"{len(seen)} of {len(rows)} seen; load {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    return 0 if len(seen) == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
