"""Release folders: writing, reading, checking and describing them."""
