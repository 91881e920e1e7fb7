"""Files copied into bundles as they are. They import numpy and one runtime, nothing of ours."""
