"""The report of a run, and one small module per rendering of it."""
