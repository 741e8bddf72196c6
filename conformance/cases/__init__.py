"""Test cases: recipes, the arrays made from them, and how recipes are chosen.

Here belong the questions that a backend is asked. The right answers belong in ``bounds`` and ``properties``.
"""
