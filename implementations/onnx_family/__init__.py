"""LSTM nodes of ONNX, run by the runtimes that read ONNX files."""
