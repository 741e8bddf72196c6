"""Calls in files: written for a program to answer at leisure, and judged when its answers are there.

Here belongs what a recording is, and a backend that looks its answers up. How a run goes belongs in ``engine``.
"""
