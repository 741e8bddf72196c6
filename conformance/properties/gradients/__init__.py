"""Gradients: what ``forward.vjp`` returns, by cotangents of the output, of h_n and of c_n.

``adjoints.py`` judges each gradient by itself, ``exact.py`` those that are known without a bound, ``sized.py`` those of
many steps, rows and units; ``shared.py`` has the cases and comparisons that they have in common.
"""

from __future__ import annotations

from conformance.properties.gradients import adjoints, exact, sized

__all__ = ["adjoints", "exact", "sized"]
