"""Saved specifications, and strict reading of them."""
