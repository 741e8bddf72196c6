"""Measurements, each a command: ``python -m benchmarks.NAME``. Speeds are ratios measured side by side in one run."""
