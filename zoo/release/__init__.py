"""Release folders."""
