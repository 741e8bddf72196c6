"""Test cases: recipes, the fills and edits that make arrays of them, and how recipes are chosen.

Here belong the questions that a backend is asked. The right answers belong in ``bounds`` and ``properties``.
"""
