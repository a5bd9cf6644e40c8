"""Runtimes: they compute the logits of a predictor."""
