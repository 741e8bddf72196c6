"""LSTMs of libraries in C and C++, which are compiled where they are used."""
