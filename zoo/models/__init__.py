"""Models: backbones, heads, classifiers and the logit-averaging ensemble."""
