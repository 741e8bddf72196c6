"""What PyTorch makes of nn.LSTM: scripted, compiled, exported, quantized."""
