"""Where a backend raised: the places of an exception's way that its author can act on."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

from conformance.facts import Frame

#: So many frames are told, the innermost last.
_MOST = 3

#: The suite's own files, which tell the author of a backend nothing.
_OURS = str(Path(__file__).parents[1]) + os.sep

_LIBRARY = sysconfig.get_paths()["stdlib"] + os.sep
_PACKAGES = ("site-packages", "dist-packages")


def frames(error: BaseException) -> tuple[Frame, ...]:
    """The last places of the author's own files that an exception passed; those of a framework if there are none."""
    passed = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    theirs = [frame for frame in passed if not of_the_suite(frame.filename)]
    packages = [frame for frame in theirs if not frame.filename.startswith(_LIBRARY) or _installed(frame.filename)]
    own = [frame for frame in packages if not _installed(frame.filename)]
    if isinstance(error, SyntaxError) and error.filename:
        own.append(traceback.FrameSummary(error.filename, error.lineno, "<module>", line=error.text or ""))
    told = (own or packages)[-_MOST:]
    return tuple(Frame(_short(f.filename), f.lineno or 0, f.name, (f.line or "").strip()) for f in told)


def whole_traceback(error: BaseException) -> str:
    """The traceback of an exception, from the first place on that is not the suite's."""
    told = traceback.TracebackException.from_exception(error)
    while told.stack and of_the_suite(told.stack[0].filename):
        del told.stack[0]
    return "".join(told.format()).rstrip()


def of_the_suite(file: str) -> bool:
    """Whether a file tells the author of a backend nothing: the suite's own, or the interpreter's."""
    return file.startswith((_OURS, "<frozen "))


def _installed(file: str) -> bool:
    return any(part in _PACKAGES for part in Path(file).parts)


def _short(file: str) -> str:
    """A file's name from the folder of the run, or within the installed package that it belongs to."""
    path = Path(file)
    places = [k for k, part in enumerate(path.parts) if part in _PACKAGES]
    if places:
        return Path(*path.parts[places[-1] + 1 :]).as_posix()
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else file
