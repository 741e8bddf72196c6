"""The LSTM in float64, forward and backward, equation by equation.

Here belong the equations of nn.LSTM. How far a correct implementation may be from them belongs in ``bounds``.
"""
