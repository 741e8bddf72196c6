"""From failures to causes: what is wrong with a backend, where, under which conditions, and how to mend it.

Here belongs what reads verdicts, or asks a judge more, to find the cause of failures. What decides whether there is a
failure belongs to ``properties`` and ``engine``; the catalogue of alterations is ``faults``; words are made in
``report``.
"""
