"""Where things are kept between runs: in the user's cache, not in the folder that a run is started in."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from conformance.engine.plan import Settings
from conformance.errors import UsageError
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


def database(target: str, settings: Settings, environment: Mapping[str, str] = os.environ) -> ExampleDatabase:
    """Where Hypothesis keeps the counterexamples of a target between runs; folders may have targets of one name.

    The database that ``LSTM_CONFORMANCE_EXAMPLES`` names, a folder or ``redis://HOST:PORT/NUMBER``, is shared: what one
    run finds, others on other machines meet first. A target has one name there, wherever it is.
    """
    chosen = " ".join(p.id for p in select(settings.only, settings.exclude))
    if shared := environment.get("LSTM_CONFORMANCE_EXAMPLES"):
        return _Prefixed(_shared(shared), f"{target}\0{chosen}\0")
    return _Prefixed(DirectoryBasedExampleDatabase(counterexamples(environment)), f"{Path.cwd()}\0{target}\0{chosen}\0")


def _shared(named: str) -> ExampleDatabase:
    if "://" not in named:
        return DirectoryBasedExampleDatabase(Path(named))
    try:
        redis, examples = importlib.import_module("redis"), importlib.import_module("hypothesis.extra.redis")
    except ImportError:
        hint = 'pip install "lstm-conformance[redis]"'
        raise UsageError(f"LSTM_CONFORMANCE_EXAMPLES={named} needs redis", hint) from None
    try:
        client = redis.Redis.from_url(named)
        client.ping()
    except (ValueError, redis.exceptions.RedisError) as error:
        hint = "name a folder, or redis://HOST:PORT/NUMBER"
        raise UsageError(f"LSTM_CONFORMANCE_EXAMPLES={named}: {error}", hint) from None
    return examples.RedisExampleDatabase(client)
