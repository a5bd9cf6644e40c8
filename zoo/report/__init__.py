"""The report a person reads: `metrics.json` as one page that opens offline, and its figures as PNG."""
