"""The engine: search, training, compression, measurement, verification, reports."""
