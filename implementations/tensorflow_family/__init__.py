"""LSTMs of TensorFlow below Keras."""
