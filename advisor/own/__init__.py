"""Model files that users bring: what they take and give, read and bounded, never unpickled."""
