"""What computes a predictor's logits."""
