"""The LSTM in float64, forward and backward, equation by equation.

Here belongs what nn.LSTM computes. What a correct implementation may differ by belongs in ``bounds``.
"""
