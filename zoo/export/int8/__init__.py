"""Networks in int8, kept after an accepted loss."""
