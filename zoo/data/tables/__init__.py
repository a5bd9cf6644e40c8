"""Readers of label tables: one module for each data set, all giving the same form of table."""
