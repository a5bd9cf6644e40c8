"""Networks in int8, kept where their losses are within the limits."""
