"""Non-finite values: the effects of NaN, of infinities and of the largest finite numbers.

An implementation may refuse such numbers by raising; if it returns, its results must be those of the equations. An
infinity stands only where no ∞ − ∞ and no 0 · ∞ can arise, which another order of summation would avoid. ``nan.py``
asks about NaN, ``infinite.py`` about infinities and huge numbers; ``shared.py`` has what both use.
"""

from __future__ import annotations

from conformance.properties.nonfinite import infinite, nan

__all__ = ["infinite", "nan"]
