"""What is saved, strictly read."""
