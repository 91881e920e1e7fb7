"""Protocol-grade timing: one model, one core, one process, stamped inference by inference."""
