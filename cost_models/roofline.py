"""What a target's arithmetic, calls and memory cost: from fitted cycles, the makers' peak, or what is known of x86."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cost_models import efficiency
from cost_models.memory import TFLM_FAMILY
from specs import catalog
from specs.chip import ComputeUnit, Precision, Target

WIDER: dict[Precision, tuple[Precision, ...]] = {
    "int8": ("int8", "fp16", "fp32"),
    "fp16": ("fp16", "fp32"),
    "fp32": ("fp32",),
}
"""A precision a core does not have is done in the next wider one."""
ACCELERATED = {"vela": ("npu",), "neutron": ("npu",), "silabs-mvp": ("npu",), "ai8x": ("npu",), "nncase": ("npu",),
               "edgetpu": ("npu",), "hailort": ("npu",), "rknn": ("npu",), "qnn": ("npu", "dsp", "gpu"),
               "tidl": ("npu", "dsp"), "vx-delegate": ("npu",), "hobot-dnn": ("npu",),
               "tpu-mlir": ("npu",), "tensorrt": ("gpu", "npu"),
               "stm32cube-ai": ("npu",)}  # fmt: skip
"""Runtimes that run on something other than the CPU, and on what, best first."""
CPU_ONLY = ("litert", "onnxruntime", "ncnn", "tflm", "esp-nn")
NO_WINOGRAD = ("tflm", "esp-nn", "silabs-mvp", "litert", "onnxruntime", "vela")
"""Runtimes that multiply as often as a network's definition says; others may use Winograd's transforms."""
WINOGRAD = 5.07
"""F(6x6, 3x3) multiplies 64 times for 36 outputs of 9 products each: no transform in use saves more."""
NPU_EFFICIENCY = 0.25
"""Share of its makers' peak an accelerator reaches on small networks, where nothing was measured: 0.05 to 0.9 seen."""
NPU_FACTOR = 5.0
NPU_CALL_MS = 0.003


@dataclass(frozen=True, slots=True)
class _X86:
    """What a runtime takes on a vectorised x86 core besides multiplying, in cycles: an inference, a call, a row of
    output; in float32 and in int8 a copied input position, and a depthwise MAC beyond the last whole vector."""

    run: float
    call: float
    row: float
    tap: tuple[float, float]
    ragged: tuple[float, float]


X86 = {"onnxruntime": _X86(5000, 1500, 60, (0.5, 4.0), (0.1, 0.5))}
"""onnxruntime plans and times every node, and lowers int8 convolutions to matrix products by copying patches; runtimes
on XNNPACK (below) run a fused graph through pointers. Round figures of 110 small networks on an AVX-512 core."""
X86_OTHERS = _X86(500, 300, 5, (0.5, 0.5), (0.1, 0.1))
X86_EFFICIENCY: dict[str, tuple[float, float, float]] = {"fp32": (0.6, 0.3, 0.2), "int8": (0.5, 0.06, 0.2)}
"""Shares of a core's peak that kernels reach in conv, dwconv, dense, counting channels filled up to whole vectors;
depthwise kernels load as often as they multiply and gain nothing of int8's dot products."""
X86_RAGGED = 0.005
"""Cycles a MAC of other layers beyond the last whole vector takes more."""
X86_TILES = {"avx512f": 16, "": 8}
"""Channels that a vector holds."""
X86_ELEMENT, X86_WEIGHT_BYTE = 0.25, 0.03
"""Cycles an element written or moved, and a byte of weights, takes."""
X86_FACTOR = 3.0
"""356 networks of other families on the same core, in both runtimes: 1.5 holds 90 %; other cores are not known."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """What one target costs in milliseconds: per MAC by group, per element these write, per byte of other operators,
    per call, per byte moved; where it is known so finely (`fine`) also per inference, byte of weights, copied position,
    row of output and MAC (others, depthwise) beyond the last whole tile, MACs counted with output channels filled up
    to whole tiles."""

    per_mac: tuple[float, float, float]
    per_output: float
    per_byte: float
    per_call: float
    per_moved: float
    factor: float
    source: Literal["predicted", "assumed"]
    n: int
    basis: str
    fine: bool = False
    per_run: float = 0.0
    per_weight: float = 0.0
    per_tap: float = 0.0
    per_row: float = 0.0
    per_ragged: tuple[float, float] = (0.0, 0.0)
    tile: int = 1

    def sentence(self) -> str:
        """What figures by it rest on."""
        many = "" if self.n == 1 else "s"
        sentences = {
            "core": f"latency fitted to {self.n} published measurement{many} of this runtime on this core",
            "class": f"latency fitted to {self.n} published measurement{many} of this runtime on similar cores",
            "crossed": "latency inferred: similar cores were measured, but not with this runtime",
            "default": "latency assumed: no core like this has published measurements",
        }
        return sentences.get(self.basis, f"latency assumed from {self.basis}")


def roofline_of(target: Target, precision: Precision) -> Roofline | str:
    """The target's constants, or the reason why it has none."""
    unit = _unit(target)
    if unit is None:
        return f"{target.chip.id} lists no unit {target.runtime.id} runs on"
    peak = unit_peak_macs_s(unit, precision)
    bandwidths = [m.bandwidth_bytes_s for m in target.chip.memories if m.bandwidth_bytes_s]
    per_moved = 1e3 / max(bandwidths) if bandwidths else 0.0
    data = efficiency.load()
    kind = efficiency.core_class(unit.core, target.chip)
    measured = f"core:{unit.core}" in data.counts
    if unit.kind != "cpu" and not measured:
        if not peak:
            return f"the peak of {unit.name} is unknown"
        rate = 1e3 / (peak * NPU_EFFICIENCY)
        return Roofline((rate, 4 * rate, 4 * rate), 0.0, max(per_moved, 4 * rate), NPU_CALL_MS, per_moved, NPU_FACTOR,
                        "assumed", 0, "a share of the maker's peak")  # fmt: skip
    if not unit.clock_hz:
        return f"the clock of {unit.name} is unknown"
    unmeasured = f"runtime class:{target.runtime.id}|{precision}|x86" not in data.counts
    scalar = target.runtime.id in TFLM_FAMILY  # whose kernels for x86 are the plain reference ones
    if kind == "x86" and peak and unmeasured and not scalar:
        return _x86(target.runtime.id, precision, unit, peak / unit.count, unit.clock_hz, per_moved)
    found = data.cycles(target.runtime.id, unit.core, kind, precision)
    ms = 1e3 / unit.clock_hz
    # no fitted rate beats the core: one core's share of the peak is the floor of a MAC's cost
    floor = 1e3 * unit.count / peak if peak else 0.0
    if target.runtime.id not in NO_WINOGRAD:
        floor /= WINOGRAD
    conv, dwconv, dense, output, byte, call = found.per
    return Roofline(
        (max(conv * ms, floor), max(dwconv * ms, floor), max(dense * ms, floor)), output * ms, byte * ms, call * ms,
        per_moved,
        found.factor, "predicted" if found.known else "assumed", found.n, found.basis,
    )  # fmt: skip


def _x86(
    runtime: str, precision: Precision, unit: ComputeUnit, peak_macs_s: float, clock_hz: float, per_moved: float
) -> Roofline:
    """What was measured with other runtimes (ncnn on cores without dot products) says little of vectorised kernels."""
    cycle, known = 1e3 / clock_hz, X86.get(runtime, X86_OTHERS)
    tile = next(size for name, size in X86_TILES.items() if not name or name in unit.vector)
    int8 = precision == "int8"
    conv, dwconv, dense = (1e3 / (peak_macs_s * share) for share in X86_EFFICIENCY["int8" if int8 else "fp32"])
    return Roofline(
        (conv, dwconv, dense), X86_ELEMENT * cycle, X86_ELEMENT * cycle / (1 if int8 else 4), known.call * cycle,
        per_moved, X86_FACTOR, "assumed", 0, "a share of the core's peak", True, known.run * cycle,
        X86_WEIGHT_BYTE * cycle, known.tap[int8] * cycle, known.row * cycle,
        (X86_RAGGED * cycle, known.ragged[int8] * cycle), tile,
    )  # fmt: skip


def peak_macs_s(target: Target, precision: Precision) -> float | str:
    """Multiply-accumulates a second of every unit the runtime may use together, or why that is not known."""
    peak = 0.0
    fused_half = target.runtime.id not in ("tflm", "esp-nn", "onnxruntime")
    for unit in usable_units(target):
        rate = unit_peak_macs_s(unit, precision, fused_half=fused_half)
        if rate is None:
            return f"the peak of {unit.name} of {target.chip.id} is unknown"
        peak += rate
    return peak or f"{target.chip.id} lists no unit {target.runtime.id} runs on"


def usable_units(target: Target) -> list[ComputeUnit]:
    """Every unit the runtime may put work on; of a runtime that is not known, all."""
    units = list(target.chip.compute)
    if target.runtime.id in CPU_ONLY:
        return [unit for unit in units if unit.kind == "cpu"]
    return units


def unit_peak_macs_s(unit: ComputeUnit, precision: Precision, *, fused_half: bool = False) -> float | None:
    """The unit's peak of all cores in this precision, or in the next wider one it has.

    `fused_half`: whether fp32 networks may be run in half precision.
    """
    order: tuple[Precision, ...] = ("fp16", "fp32") if fused_half and precision == "fp32" else WIDER[precision]
    core = catalog.cores().get(unit.core)
    rates = []
    for name in order:
        if name in unit.peak_macs_s:
            rates.append(unit.peak_macs_s[name])
        elif core is not None and name in core.peak_macs_per_cycle and unit.clock_hz:
            rates.append(core.peak_macs_per_cycle[name] * unit.clock_hz * unit.count)
    return max(rates) if rates else None


def _unit(target: Target) -> ComputeUnit | None:
    """The unit a single-threaded program of this runtime spends its time on."""
    units = target.chip.compute
    for kind in ACCELERATED.get(target.runtime.id, ()):
        for unit in units:
            if unit.kind == kind:
                return unit
    cpus = [unit for unit in units if unit.kind == "cpu"]
    return max(cpus, key=lambda unit: (unit_peak_macs_s(unit, "fp32") or 0.0) / unit.count, default=None)
