"""LSTMs of libraries that people build on with torch or NumPy."""
