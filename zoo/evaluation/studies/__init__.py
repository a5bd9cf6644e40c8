"""Studies: the images of one examination, joined to one row."""
