"""One case on one backend: the calls that the contract spells, their results, and what a check may end with.

Here belongs what every property needs of a run. What one group of properties needs belongs in that group.
"""
