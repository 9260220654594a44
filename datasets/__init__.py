"""Data sets: images in, batches out, with fixed splits and augmentation that can be repeated."""
