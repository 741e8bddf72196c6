"""Dropout and mode: in training, and only then, elements between layers are dropped, each by a chance of its own.

A random result has no oracle. But a model can be wired so that its results tell which elements were dropped
(``masks.py``); the oracle then judges them within the bound, like any other input. An element that was neither dropped
nor scaled does not fit, nor does a mask on the recurrence, on the last output or on a state.

The pattern must be that of independent tosses of probability p. With any generator, a correct implementation fails one
of a run's tests with a probability of at most ``ALARM`` (``chance.py``).

``certain.py`` has what no chance decides, ``pattern.py`` the elements that are dropped in training, ``vjps.py`` their
gradients.
"""

from __future__ import annotations

from conformance.properties.dropout import certain, pattern, vjps

__all__ = ["certain", "pattern", "vjps"]
