"""The failures of the last run in a folder, kept so that ``replay --last ID`` finds them.

They lie in the user's cache, in a file of their own for each folder: a run elsewhere, or somebody else's, is never
taken for this one. Of two runs in one folder the later one counts, and ``replay`` says when it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from conformance.drivers.storage import cache
from conformance.errors import UsageError
from conformance.report.model import Report


@dataclass(frozen=True)
class Failure:
    """A failure of the last run: what ``replay`` is given, and when the run was."""

    property: str
    backend: str
    #: The text of the case, after those that must come before it.
    recipes: tuple[str, ...]
    when: str


def remember(report: Report) -> bool:
    """Keep the failures of a run in this folder; whether they could be kept."""
    failures = [
        {"property": v.property, "backend": v.backend, "recipes": [*v.history, v.recipe]}
        for v in report.verdicts
        if v.outcome.bad and v.recipe is not None
    ]
    told = {"when": datetime.now().isoformat(" ", "minutes"), "folder": os.getcwd(), "failures": failures}
    try:
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(told), encoding="utf-8")
        beside.replace(path)
    except OSError:
        return False
    return True


def recall(property: str, backend: str | None) -> Failure:
    """The failure of a property in the last run in this folder. Raises ``UsageError`` if there is none, or several."""
    try:
        told = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            "no run in this folder is remembered",
            "`lstm-conformance run` or pytest first, or give the text of a case",
        ) from None
    found = [
        Failure(each["property"], each["backend"], tuple(each["recipes"]), told["when"]) for each in told["failures"]
    ]
    fitting = [f for f in found if f.property == property and backend in (None, f.backend)]
    if len(fitting) == 1:
        return fitting[0]
    run = f"the last run in this folder, of {told['when']},"
    if fitting:
        raise UsageError(f"{property} failed for several backends in {run}", f"add --backend {fitting[0].backend}")
    known = ", ".join(dict.fromkeys(f.property for f in found if backend in (None, f.backend)))
    raise UsageError(
        f"{run} has no failure of {property}", f"it has those of {known}" if known else "nothing failed in it"
    )


def _path() -> Path:
    """The file of this folder in the user's cache."""
    name = hashlib.sha256(os.getcwd().encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache() / "last" / f"{name}.json"
