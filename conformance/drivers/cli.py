"""The command line: ``lstm-conformance run``, ``list``, ``explain``, ``replay``, ``probe``, ``serve``, ``new`` …

Exit codes: 0 conformant, 1 not conformant, 2 usage, 3 interrupted, incomplete, or a named backend unavailable.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance.drivers.commands import commands
from conformance.drivers.configuration import configured
from conformance.drivers.options import parser
from conformance.errors import Ended, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    try:
        # A run that is ended shows the verdicts that it has found by then, as if it had been interrupted.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        options = parser(configured(Path.cwd()), commands()).parse_args(arguments)
        return options.command(options)
    except UsageError as error:
        print(f"lstm-conformance: {error}", file=sys.stderr)
        return 2
    except Ended as ended:
        print(f"lstm-conformance: {ended.outcome}: {ended}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lstm-conformance: interrupted", file=sys.stderr)
        return 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
