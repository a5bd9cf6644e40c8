"""Other people's files: predictions, labels and readers as CSV, brought to the same rows and findings."""
