"""Purity: a model is a function of its arguments. Earlier calls and calls at the same time change nothing.

``calls.py`` has the traces that a call may leave for other calls and for the caller, ``histories.py`` those that it may
leave for calls of another kind, ``views.py`` the arguments' places in memory. ``life.py`` has the weights and the mode,
which alone a model can be told to change, ``memory.py`` the memory that many calls leave in use.
"""

from __future__ import annotations

from conformance.properties.purity import calls, histories, life, memory, views

__all__ = ["calls", "histories", "life", "memory", "views"]
