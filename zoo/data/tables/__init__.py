"""Readers of label tables: one module per data set, all returning the same columns."""
