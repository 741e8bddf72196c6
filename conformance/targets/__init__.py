"""Where backends come from: decorators, entry points, target strings, torch modules, and what a probe finds.

Here belongs how a backend is found and wrapped. Concrete backends belong in ``implementations``.
"""
