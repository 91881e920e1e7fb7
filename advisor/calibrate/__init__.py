"""Calibrating a cost model on a live target: what to measure, measuring it, the fit and its error."""
