"""Calibration: how it is fitted and chosen, what it does to log-odds, and how it moves to another prevalence."""
