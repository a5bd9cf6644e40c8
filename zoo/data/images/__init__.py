"""Reads image files, arrays and tensors of any origin as pixels in 0..255."""
