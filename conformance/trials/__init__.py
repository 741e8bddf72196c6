"""One case on one backend: the calls that the contract spells, their results, and the ways in which a check may end.

Here belong the parts of a run that every property needs. A part that only one group of properties needs belongs there.
"""
