"""Evaluation: metrics, intervals, thresholds, calibration and the decision bundle."""
