"""Explanations: where on the film a logit comes from, as heatmaps that are drawn and scored."""
