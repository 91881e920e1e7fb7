"""Attached boards: transports that run an artifact and bring back samples."""
