"""Weights that others published, converted to the backbones and heads of the zoo; read-only."""
