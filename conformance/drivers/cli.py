"""The command line: ``lstm-conformance run``, ``list``, ``explain``, ``replay``, ``probe``, ``serve``, ``new`` …

Exit codes: 0 conformant, 1 not conformant, 2 usage, 3 interrupted, incomplete, a named backend unavailable,
or a report that could not be written.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance.drivers import console
from conformance.drivers.commands import commands
from conformance.drivers.configuration import configured
from conformance.drivers.options import parser
from conformance.errors import Ended, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    console.prepare()
    try:
        # A run that is ended shows the verdicts that it has found by then, as if it had been interrupted.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        words = sys.argv[1:] if arguments is None else list(arguments)
        options = parser(configured(Path.cwd()), commands()).parse_args(words)
        options.words = words
        code = options.command(options)
        console.flush()
        return code
    except UsageError as error:
        console.complain(str(error))
        return 2
    except Ended as ended:
        console.complain(f"{ended.outcome}: {ended}")
        return 1
    except KeyboardInterrupt:
        console.complain("interrupted")
        return 3
    except console.Unwritten as error:
        console.complain(str(error))
        console.abandon()
        return 3
    except BrokenPipeError:
        # Nobody reads on, and nobody need be told.
        console.abandon()
        return 3
