"""Where backends come from: decorators, entry points, target strings, torch modules, and what a probe finds.

Here belongs how a backend is found and wrapped. Concrete backends belong in ``implementations``. ``registry`` stays
light: every backend imports it. ``load`` needs NumPy and nothing else: an isolated child loads its backend by it.
"""
