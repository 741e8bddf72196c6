"""Where things are kept between runs: in the user's cache, not in the folder that a run is started in."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


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
