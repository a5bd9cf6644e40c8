"""Explanations: where on the image a logit comes from, as heatmaps that are drawn and scored."""
