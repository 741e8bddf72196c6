"""The environment in which a report was made."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

#: The packages whose versions a report names if they are installed.
_PACKAGES = ("numpy", "hypothesis", "torch", "ml_dtypes")


def environment() -> dict[str, str]:
    """Versions and platform."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions | {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}
