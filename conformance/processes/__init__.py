"""Child processes: how one is started, limited and ended, and the wire protocol that programs speak.

A child is any process that the suite starts to hold a backend: a program, which speaks the wire protocol, or an
isolated judge. The keeper ends the children if the suite is killed. Here belongs nothing that knows properties or
verdicts: ``isolation`` judges in a child.
"""
