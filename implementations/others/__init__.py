"""Frameworks that stand alone."""
