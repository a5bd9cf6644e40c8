"""Data: images, tables, splits, augmentation, batches, phantoms."""
