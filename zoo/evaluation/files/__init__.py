"""Reads predictions, labels and readers' calls from CSV files of any origin and joins them by row and finding."""
