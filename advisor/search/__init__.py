"""The search: asks for candidates, spends training and measurements on them, records everything."""
