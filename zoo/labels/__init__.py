"""The findings, and the facts that tables hold about patients."""
