"""OpenVINO: its own LSTM operation, and ONNX models."""
