"""The doors: the command line, pytest, ``check_backend``, and a project's configuration.

Here belongs what a user types and reads first. All doors drive the same engine.
"""
