"""The suite tried on faulty LSTMs: on each fault of the catalogue, on the correct ones that must pass, on pairs.

``score`` judges each fault by itself, ``pairs`` two faults at once, and ``peers`` are other test sets beside ours. Here
belongs what proves the suite. Only the command line and ``vectors`` import it.
"""
