"""Writes a network as an ONNX graph."""
