"""Child processes: how one is started, limited and ended, and the wire protocol that programs speak.

Here belongs nothing that knows properties or verdicts: ``isolation`` judges in a child.
"""
