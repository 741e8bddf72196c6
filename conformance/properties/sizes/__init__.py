"""Sizes: an LSTM is right with as many units, features, rows and steps as real models have, and beyond counters.

``real.py`` has the sizes of real models, ``bits.py`` single axes that 16 bits do not count.
"""

from __future__ import annotations

from conformance.properties.sizes import bits, real

__all__ = ["bits", "real"]
