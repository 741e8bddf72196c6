"""A judge in a child process: the parent's side and the child's.

Here belongs what crosses between the two. How a process is watched belongs in ``processes``.
"""
