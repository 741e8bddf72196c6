"""LSTMs that people build with JAX."""
