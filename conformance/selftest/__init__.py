"""The suite tried on faulty LSTMs: the catalogue of faults, the correct ones that must pass, pairs, other test sets.

``faults`` are the wrong LSTMs and the correct but different ones, ``score`` judges each fault by itself, ``pairs`` two
faults at once, and ``peers`` are other test sets beside ours. Here belongs what proves the suite. Nothing outside this
package and the command line may import it.
"""
