"""Purity: a model is a function of its arguments. Earlier calls and calls at the same time change nothing.

``calls.py`` has the traces that a call may leave in the caller's arrays, ``carried.py`` those that it may leave for
later calls, ``histories.py`` for calls of another kind, ``concurrent.py`` for calls in another thread. ``views.py`` has
the arguments' places in memory, ``life.py`` the weights and the mode, which alone a model can be told to change,
``memory.py`` the memory that many calls leave in use.
"""

from __future__ import annotations

from conformance.properties.purity import calls, carried, concurrent, histories, life, memory, views

__all__ = ["calls", "carried", "concurrent", "histories", "life", "memory", "views"]
