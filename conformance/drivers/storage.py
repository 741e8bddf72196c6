"""Where things are kept between runs: in the user's cache, not in the folder that a run is started in."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from conformance.engine.plan import Settings
from conformance.properties import select


def counterexamples(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder: in Hypothesis' own where ``HYPOTHESIS_STORAGE_DIRECTORY`` names one, else in the platform's cache."""
    if named := environment.get("HYPOTHESIS_STORAGE_DIRECTORY"):
        return Path(named) / "lstm-conformance"
    return cache(environment) / "counterexamples"


def cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of this suite, where the programs of this platform keep what they can do without."""
    return _caches(environment) / "lstm-conformance"


def _caches(environment: Mapping[str, str]) -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())
    if sys.platform == "win32":
        usual, named = home / "AppData" / "Local", environment.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        usual, named = home / "Library" / "Caches", ""
    else:
        usual, named = home / ".cache", environment.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths passed over.
    return Path(named) if Path(named).is_absolute() else usual


class _Prefixed(ExampleDatabase):
    """A database whose keys belong to one backend and one set of properties: all runs share one test function."""

    def __init__(self, database: ExampleDatabase, prefix: str) -> None:
        super().__init__()
        self._database = database
        self._prefix = prefix.encode("utf-8", "backslashreplace")

    def save(self, key: bytes, value: bytes) -> None:
        self._database.save(self._prefix + key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._database.fetch(self._prefix + key)

    def delete(self, key: bytes, value: bytes) -> None:
        self._database.delete(self._prefix + key, value)


def database(target: str, settings: Settings) -> ExampleDatabase:
    """Where Hypothesis keeps the counterexamples of a target between runs; folders may have targets of one name."""
    chosen = " ".join(p.id for p in select(settings.only, settings.exclude))
    return _Prefixed(DirectoryBasedExampleDatabase(counterexamples()), f"{Path.cwd()}\0{target}\0{chosen}\0")
