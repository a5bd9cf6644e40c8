"""Calibration: fitting and choosing a method, applying it to log-odds, and adjusting it to a target prevalence."""
