"""Keras' LSTM layer on each of its backends. A process has one of them."""
