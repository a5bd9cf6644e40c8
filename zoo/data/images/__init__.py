"""Any file to 0..255 pixels."""
