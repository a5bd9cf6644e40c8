"""What a model's name means."""
