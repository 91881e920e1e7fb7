"""Data sets and scores: what is learned, read once, split once, prepared the way a device must repeat it."""
