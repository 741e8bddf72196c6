"""LSTMs of frameworks and libraries that belong to no larger family."""
