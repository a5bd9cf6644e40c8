"""The members of an ensemble: their weights, which of them are needed, and what each choice would give."""
