"""How far a correct LSTM may be from the reference: in its results, its gradients, and what is random.

Here belongs every tolerance, with its derivation. No other package chooses one.
"""
