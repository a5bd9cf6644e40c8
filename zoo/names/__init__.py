"""Resolves model names to releases and specifications."""
