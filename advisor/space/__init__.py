"""The search space: one network description, the families that fill it, pruning, and the dimensions searched."""
