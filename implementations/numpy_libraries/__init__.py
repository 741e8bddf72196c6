"""LSTMs of libraries that need NumPy alone."""
