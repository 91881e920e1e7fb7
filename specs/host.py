"""The machine this runs on, described as a chip: what its system tells, and an upper bound of its throughput."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path

from specs.chip import Chip, ComputeUnit, Memory, Precision

_SOURCE = "detected on this machine"

_PER_CYCLE: tuple[tuple[str, dict[Precision, float]], ...] = (
    # the first flag the processor has: MACs a cycle one core issues at best, rounded up over all makers' cores
    ("amx_int8", {"fp32": 32, "fp16": 512, "int8": 1024}),  # one 16x64x16 tile product in 16 cycles
    ("avx512_fp16", {"fp32": 32, "fp16": 64, "int8": 128}),
    ("avx512_vnni", {"fp32": 32, "int8": 128}),  # two 512-bit ports
    ("avx512f", {"fp32": 32, "int8": 128}),
    ("avx_vnni", {"fp32": 16, "int8": 64}),  # two 256-bit or four 128-bit ports
    ("fma", {"fp32": 16, "int8": 64}),
    ("avx", {"fp32": 8, "int8": 32}),
    ("sse2", {"fp32": 4, "int8": 32}),
    ("sve", {"fp32": 32, "fp16": 64, "int8": 256}),  # two 512-bit or four 128-bit pipes, with SMMLA
    ("i8mm", {"fp32": 16, "fp16": 32, "int8": 128}),  # four 128-bit pipes, SMMLA: 32 int8 MACs each
    ("asimddp", {"fp32": 16, "fp16": 32, "int8": 64}),
    ("asimd", {"fp32": 16, "fp16": 32, "int8": 32}),
    ("neon", {"fp32": 8, "int8": 32}),
)
_UNBOUNDED = "sme"
"""Matrix coprocessors of any width, shared by cores: no bound follows from the flag."""
_TOP_CLOCK_HZ = {"x86": 6.2e9, "arm": 5.0e9}
"""The fastest processors on sale (Core i9-14900KS; Snapdragon X2): the bound where the system hides the turbo clock."""
_TURBO_INCLUDED = ("intel_pstate", "intel_cpufreq", "amd-pstate", "amd-pstate-epp", "amd_pstate")
_SHOWN = ("amx_int8", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "fma", "sse4_1", "neon", "asimd", "asimddp",
          "asimdhp", "i8mm", "sve", "sme")  # fmt: skip
_MAKERS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "HygonGenuine": "Hygon", "CentaurHauls": "Zhaoxin"}
_CPUFREQ = Path("/sys/devices/system/cpu")


@cache
def detect_host() -> Chip:
    """Cores, clock, vector instructions and memory of this machine; what the system hides is absent with a reason."""
    info = _cpuinfo()
    name = _name(info)
    flags = _flags(info)
    unknown = {
        "power": "a general-purpose system gives no power states; measure with a meter",
        "price": "the machine at hand is not a part for sale",
    }
    clock = _clock_hz(info)
    if clock is None:
        unknown["compute.clock"] = "the system does not report a clock"
    peak = _peak_macs_s(flags, _top_clock_hz(clock, flags), cores())
    if not peak:
        unknown["compute.peak"] = (
            "a matrix coprocessor of unknown width" if _UNBOUNDED in flags else "the system hides the vector extensions"
        )
    ram = _memory_bytes()
    if ram is None:
        unknown["memories.dram"] = "the system does not report its memory"
    memories = (Memory("DRAM", "dram", ram, _SOURCE), Memory("disk", "storage", None, _SOURCE))
    shown = tuple(flag for flag in _SHOWN if flag in flags)
    unit = ComputeUnit(name, "cpu", "host", cores(), clock, _SOURCE, shown, peak)
    maker = _MAKERS.get(info.get("vendor_id", ""), "Apple" if sys.platform == "darwin" else "this machine")
    runtimes = ("onnxruntime", "litert", "tflm")
    return Chip("host", f"this machine ({name})", maker, "host", memories, (unit,), (), None, runtimes,
                {"detected": _SOURCE}, unknown)  # fmt: skip


def cores() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _peak_macs_s(flags: set[str], top_hz: float, count: int) -> dict[Precision, float]:
    """MACs a second that `count` cores cannot exceed; empty when the flags give no bound."""
    if _UNBOUNDED in flags:
        return {}
    found = next((macs for flag, macs in _PER_CYCLE if flag in flags), {})
    return {precision: macs * top_hz * count for precision, macs in found.items()}


def _top_clock_hz(clock: float | None, flags: set[str]) -> float:
    """A clock no core exceeds: the maker's maximum where the system tells it, else that of the fastest processor."""
    arm = bool(flags & {"neon", "asimd"})
    driver = _read(_CPUFREQ / "cpu0/cpufreq/scaling_driver")
    highest = _cpufreq_hz()
    if highest and (arm or driver in _TURBO_INCLUDED):
        return highest
    return max(clock or 0.0, _TOP_CLOCK_HZ["arm" if arm else "x86"])


def _cpuinfo() -> dict[str, str]:
    """`/proc/cpuinfo` by key, the first CPU's value where CPUs differ; empty on other systems."""
    found: dict[str, str] = {}
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            found.setdefault(key.strip(), value.strip())
    return found


def _name(info: dict[str, str]) -> str:
    board = _read(Path("/proc/device-tree/model")).strip("\0")
    brand = _sysctl("machdep.cpu.brand_string").decode(errors="replace").strip("\0")
    return info.get("model name") or info.get("Model") or board or brand or _windows("ProcessorNameString") or (
        platform.processor() or platform.machine() or "unknown processor")  # fmt: skip


def _flags(info: dict[str, str]) -> set[str]:
    """Vector extensions by their Linux names; empty where the system hides them."""
    flags = set((info.get("flags") or info.get("Features") or "").split())
    if sys.platform == "darwin":
        features = _sysctl("machdep.cpu.features") + b" " + _sysctl("machdep.cpu.leaf7_features")
        flags |= set(features.decode(errors="replace").replace("\0", " ").lower().replace("avx1.0", "avx").split())
        if platform.machine() == "arm64":
            flags |= {"asimd"}
        arm = {"asimddp": "FEAT_DotProd", "asimdhp": "FEAT_FP16", "i8mm": "FEAT_I8MM", "sme": "FEAT_SME"}
        flags |= {flag for flag, key in arm.items() if any(_sysctl(f"hw.optional.arm.{key}"))}
    return flags


def _clock_hz(info: dict[str, str]) -> float | None:
    """The highest clock the system reports (turbo not always included), None when it reports none."""
    mhz = info.get("cpu MHz") or _windows("~MHz")
    try:
        reported = _cpufreq_hz() or float(mhz) * 1e6 or int.from_bytes(_sysctl("hw.cpufrequency_max"), sys.byteorder)
    except ValueError:
        reported = int.from_bytes(_sysctl("hw.cpufrequency_max"), sys.byteorder)
    return float(reported) or None


def _cpufreq_hz() -> float:
    """The highest maximum of all CPUs (they differ on big.LITTLE), 0 when the system does not tell."""
    texts = [_read(path) for path in _CPUFREQ.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")]
    return max((float(text) * 1e3 for text in texts if text.isdigit()), default=0.0)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        pass
    try:
        import psutil

        return int(psutil.virtual_memory().total)
    except (ImportError, OSError):
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _sysctl(name: str) -> bytes:
    """A value of macOS' sysctl as raw bytes, empty elsewhere or when there is none of that name."""
    if sys.platform != "darwin":
        return b""
    try:
        function = ctypes.CDLL(None).sysctlbyname
        size = ctypes.c_size_t(0)
        function(name.encode(), None, ctypes.byref(size), None, ctypes.c_size_t(0))
        buffer = ctypes.create_string_buffer(size.value or 1)
        failed = function(name.encode(), buffer, ctypes.byref(size), None, ctypes.c_size_t(0))
    except (OSError, AttributeError):
        return b""
    return b"" if failed else buffer.raw[: size.value]


def _windows(value: str) -> str:
    """A value of the processor's registry key on Windows, empty elsewhere."""
    if sys.platform != "win32":
        return ""
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return str(winreg.QueryValueEx(key, value)[0]).strip()
    except OSError:
        return ""
