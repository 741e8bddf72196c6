"""LSTMs in JavaScript."""
