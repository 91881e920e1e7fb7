"""One thread for every native library: tests then take the same time whatever else the machine does."""

import os
import tempfile

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# no test reads or writes the calibrations of whoever runs it
os.environ["EDGE_ADVISOR_HOME"] = tempfile.mkdtemp(prefix="edge-advisor-tests-")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
