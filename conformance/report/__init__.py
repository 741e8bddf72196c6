"""The report of a run, its reader and writer, and one small module for each rendering.

Here belongs all English about outcomes. No other package turns a verdict into text or reads one back.
"""
