"""Readers of exported models: the LSTMs of a file, their weights in nn.LSTM's convention, and the ways to run each."""
