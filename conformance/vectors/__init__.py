"""Vectors: single calls with their expected results and bounds, chosen by the faults that they kill, written to files.

``search`` chooses them, ``writing`` writes a set. Here belongs what travels to where no Python process runs. How one
call is judged belongs in ``bounds``; what a program answered is judged elsewhere.
"""
