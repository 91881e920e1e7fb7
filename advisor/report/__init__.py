"""What users read: every rendering of one info document."""
