"""Weighted statistics: ranking, counts, calibration error, shares, resamples and intervals, each in one place."""
