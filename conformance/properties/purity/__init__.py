"""Purity: a model is a function of its arguments. Earlier calls and calls at the same time change nothing.

``calls.py`` has the traces that a call may leave for other calls and for the caller, ``views.py`` the arguments' places
in memory.
"""

from __future__ import annotations

from conformance.properties.purity import calls, views

__all__ = ["calls", "views"]
