"""Linear heads on frozen features: the fit, its cross-validation, and the learning curve."""
