"""Test cases: recipes, the arrays made from them, and how recipes are chosen.

Here belongs what is asked, whoever is asked. What must come back belongs in ``bounds`` and ``properties``.
"""
