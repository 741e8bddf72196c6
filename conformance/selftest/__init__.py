"""The suite tried on faulty LSTMs: the catalogue of faults, the correct ones that must pass, pairs, other test sets.

Here belongs what proves the suite. Nothing outside this package and the command line may import it.
"""
