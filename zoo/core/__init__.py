"""What every room stands on: errors, files, folders, progress."""
