"""A model as an HTTP service (`zoo serve`): images go in by POST, findings come out as JSON."""
