"""Cases that are built to show what ordinary ones hide: adjoints, single terms of sums, exact gradients, dropout masks.

Here belongs how such a case is made and read. The requirement that uses it belongs in ``properties``.
"""
