"""One measurement at a time."""

import subprocess
import sys

import pytest

from advisor.devices.lease import leased


def test_a_device_is_leased_to_one_measurement_at_a_time(tmp_path):
    code = (
        "import sys; from pathlib import Path; from advisor.devices.lease import leased\n"
        f"with leased(Path({str(tmp_path)!r}), 'host:onnxruntime'): print('mine', flush=True)"
    )
    with leased(tmp_path, "host:onnxruntime"):
        with leased(tmp_path, "host:litert"):
            pass  # another device
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=3)
    assert other.communicate(timeout=60)[0] == "mine\n"
