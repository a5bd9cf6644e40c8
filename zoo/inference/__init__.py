"""Loads released models and computes findings from images."""
