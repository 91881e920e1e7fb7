"""The detected machine: plausible here, graceful where the system hides things, and its peak an upper bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from specs import host
from specs.host import detect_host


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    detect_host.cache_clear()
    yield
    detect_host.cache_clear()


def nothing_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_read", lambda path: "")
    monkeypatch.setattr(host, "_cpufreq_hz", lambda: 0.0)


def test_the_machine_at_hand_is_plausible() -> None:
    chip = detect_host()
    unit = chip.compute[0]
    assert chip.id == chip.kind == unit.core == "host"
    assert unit.name
    assert unit.name in chip.name
    assert 1 <= unit.count == host.cores() <= 4096
    assert unit.clock_hz is None or 0.1e9 < unit.clock_hz < 7e9
    assert chip.working_memory_bytes is not None
    assert 2**28 < chip.working_memory_bytes < 2**46
    assert chip.runtimes == ("onnxruntime", "litert", "tflm")
    assert {"power", "price"} <= chip.unknown.keys()
    assert chip.price is None
    assert bool(unit.peak_macs_s) != ("compute.peak" in chip.unknown)
    assert detect_host() is chip


def test_a_system_that_tells_nothing_gives_reasons_not_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_readable(monkeypatch)
    monkeypatch.setattr(host, "_memory_bytes", lambda: None)
    monkeypatch.setattr(host.platform, "processor", lambda: "")
    monkeypatch.setattr(host.platform, "machine", lambda: "mips")
    chip = detect_host()
    assert chip.compute[0].name == "mips"
    assert chip.compute[0].clock_hz is None
    assert chip.compute[0].peak_macs_s == {}
    assert chip.working_memory_bytes is None
    assert {"compute.clock", "compute.peak", "memories.dram"} <= chip.unknown.keys()


def test_memory_is_found_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = host._memory_bytes()

    sysconf = host.os.sysconf

    def refuse(name: str) -> int:
        if name == "SC_PHYS_PAGES":
            raise ValueError("unrecognized configuration name")
        return sysconf(name)

    monkeypatch.setattr(host.os, "sysconf", refuse)
    found = host._memory_bytes()
    assert found is not None
    assert expected is not None
    assert found == pytest.approx(expected, rel=0.1)


def test_a_raspberry_pi_is_named_and_bounded_by_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = (
        "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 asimdhp asimddp\nCPU part\t: 0xd0b\n\n"
        "processor\t: 1\nBogoMIPS\t: 108.00\n\nRevision\t: d04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n"
    )
    monkeypatch.setattr(host, "_read", lambda path: cpuinfo if path == Path("/proc/cpuinfo") else "")
    monkeypatch.setattr(host, "_cpufreq_hz", lambda: 2.4e9)
    monkeypatch.setattr(host, "cores", lambda: 4)
    unit = detect_host().compute[0]
    assert unit.name == "Raspberry Pi 5 Model B Rev 1.0"
    assert unit.clock_hz == 2.4e9
    assert unit.vector == ("asimd", "asimddp", "asimdhp")
    # the catalogue's Cortex-A76 issues 8 fp32 and 32 int8 MACs a cycle: the bound must not be below
    assert unit.peak_macs_s["fp32"] >= 8 * 2.4e9 * 4
    assert unit.peak_macs_s["int8"] >= 32 * 2.4e9 * 4


def test_a_hidden_turbo_clock_does_not_lower_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_readable(monkeypatch)
    assert host._top_clock_hz(2.6e9, {"avx2", "fma"}) >= 6e9
    assert host._top_clock_hz(None, {"asimd"}) >= 4.5e9
    monkeypatch.setattr(host, "_cpufreq_hz", lambda: 3.4e9)
    assert host._top_clock_hz(3.4e9, {"fma"}) >= 6e9, "this driver may leave turbo out"
    monkeypatch.setattr(host, "_read", lambda path: "intel_pstate")
    assert host._top_clock_hz(3.4e9, {"fma"}) == 3.4e9


@pytest.mark.parametrize(
    ("flags", "fp32", "int8"),
    [
        ({"sse2", "avx", "fma", "avx512f", "avx512_vnni", "avx_vnni"}, 32, 128),
        ({"sse2", "avx", "fma", "avx_vnni"}, 16, 64),
        ({"sse2", "avx"}, 8, 32),
        ({"sse2"}, 4, 32),
        ({"amx_int8", "avx512_vnni", "avx512f"}, 32, 1024),
        ({"asimd"}, 16, 32),
        ({"asimd", "asimddp", "i8mm"}, 16, 128),
        ({"asimd", "asimddp", "i8mm", "sve"}, 32, 256),
    ],
)
def test_the_widest_extension_sets_the_peak(flags: set[str], fp32: float, int8: float) -> None:
    peak = host._peak_macs_s(flags, 1e9, 2)
    assert peak["fp32"] == fp32 * 2e9
    assert peak["int8"] == int8 * 2e9


def test_no_bound_is_claimed_beyond_what_the_flags_tell() -> None:
    assert host._peak_macs_s(set(), 1e9, 2) == {}
    assert host._peak_macs_s({"asimd", "i8mm", "sme"}, 1e9, 2) == {}


def test_other_systems_interfaces_are_silent_here() -> None:
    if host.sys.platform != "darwin":
        assert host._sysctl("hw.memsize") == b""
    if host.sys.platform != "win32":
        assert host._windows("~MHz") == ""
