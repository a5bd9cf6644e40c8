"""Scoring on several machines by an engine that exists: Ray."""
