"""What executes models: each exports its own files and opens them on this host."""
