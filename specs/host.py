"""The machine this runs on, described as a chip."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from specs.chip import Chip, ComputeUnit, Memory, Precision

_SOURCE = "detected on this machine"
_MACS = (
    # flag, per-core MACs a cycle an x86 core with that extension issues at best (two FMA ports)
    ("avx512_vnni", {"fp32": 32.0, "int8": 128.0}),
    ("avx512f", {"fp32": 32.0, "int8": 64.0}),
    ("avx_vnni", {"fp32": 16.0, "int8": 64.0}),
    ("fma", {"fp32": 16.0, "int8": 32.0}),
    ("sse4_1", {"fp32": 4.0, "int8": 16.0}),
    ("asimddp", {"fp32": 16.0, "int8": 64.0}),
    ("asimd", {"fp32": 16.0, "int8": 32.0}),
)
_SHOWN = ("avx512_vnni", "avx512f", "avx_vnni", "avx2", "fma", "sse4_1", "neon", "asimd", "asimddp", "i8mm", "sve")


@cache
def detect_host() -> Chip:
    """Cores, clock, vector instructions and memory of this machine; what the system hides is absent with a reason."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    name = info.get("model name") or info.get("Model") or platform.processor() or platform.machine()
    unknown = {
        "power": "a general-purpose system gives no power states; measure with a meter",
        "price": "the machine at hand is not a part for sale",
    }
    clock = _clock_hz(info)
    peak: dict[Precision, float] = {}
    if clock is None:
        unknown["compute.clock"] = "the system does not report a clock"
    else:
        macs = next((macs for flag, macs in _MACS if flag in flags), {"fp32": 4.0, "int8": 8.0})
        # Turbo clocks are not reported: 1.6 x the reported clock keeps the bound an upper one.
        peak = {p: rate * clock * 1.6 * cores() for p, rate in macs.items()}  # type: ignore[misc]
    ram = _memory_bytes()
    memories = (Memory("DRAM", "dram", ram, _SOURCE), Memory("disk", "storage", None, _SOURCE))
    unit = ComputeUnit(name, "cpu", "host", cores(), clock, _SOURCE, tuple(f for f in _SHOWN if f in flags), peak)
    runtimes = ("onnxruntime", "litert", "tflm")
    return Chip("host", f"this machine ({name})", platform.system(), "host", memories, (unit,), (), None, runtimes,
                {"detected": _SOURCE}, unknown)  # fmt: skip


def cores() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    first = text.split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _clock_hz(info: dict[str, str]) -> float | None:
    try:
        khz = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").read_text()
        return float(khz) * 1e3
    except (OSError, ValueError):
        pass
    try:
        return float(info["cpu MHz"]) * 1e6
    except (KeyError, ValueError):
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
