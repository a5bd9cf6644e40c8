"""The steps behind each command."""
