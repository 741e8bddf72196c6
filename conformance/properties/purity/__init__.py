"""Purity: a model is a function. Calls change nothing but their results, whatever came before and happens beside.

``calls.py`` has what calls leave to each other and to the caller, ``views.py`` how the arguments lie in memory.
"""

from __future__ import annotations

from conformance.properties.purity import calls, views

__all__ = ["calls", "views"]
