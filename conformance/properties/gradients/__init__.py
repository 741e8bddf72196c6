"""Gradients: what ``forward.vjp`` returns, by cotangents of the output, of h_n and of c_n.

``adjoints.py`` judges each gradient by itself, ``exact.py`` those that are known without a bound, ``calls.py`` those
beside other calls, ``histories.py`` those after calls of other kinds and in memory that is shared, ``special.py`` those
at equal sizes, equal and zero parameters, at NaN and of no rows, ``sized.py`` those of many steps, rows and units,
``life.py`` those of a model whose weights or mode were changed. ``shared.py`` has the cases and comparisons that all of
them use.
"""

from __future__ import annotations

from conformance.properties.gradients import adjoints, calls, exact, histories, life, sized, special

__all__ = ["adjoints", "calls", "exact", "histories", "life", "sized", "special"]
