"""From a backend and properties to verdicts: drawing cases, asking a judge, shrinking failures, counting.

Here belongs the order in which things are asked. Where the backend lives belongs in ``isolation``.
"""
