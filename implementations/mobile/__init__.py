"""Runtimes for telephones and small devices."""
