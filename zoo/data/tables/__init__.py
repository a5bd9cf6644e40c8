"""A module a data set, read into one table."""
