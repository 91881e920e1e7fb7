"""What it costs: workload x target to estimates with intervals; numpy and scikit-learn only."""
