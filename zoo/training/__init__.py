"""Training: losses, recipes, stages, checkpoints."""
