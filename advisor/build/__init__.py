"""Training, augmentation, compression: from a candidate and data to a built model."""
