"""What the world does to samples between the bench and the field: one file a kind of data, all in numpy."""
