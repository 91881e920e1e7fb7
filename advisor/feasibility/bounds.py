"""Best cases over a whole search space: no candidate on the target is better, so a limit beyond them cannot be met.

Each is the low end of what the cost models allow (the high end of a battery's life), never a prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from advisor.feasibility.corners import Corner, Format, corners, smallest
from advisor.space.search_space import SearchSpace
from cost_models.analytic import lower_bound_ms
from cost_models.energy import HOURS_A_DAY, unit_cost
from cost_models.estimate import Estimate, Source
from cost_models.memory import TFLM_FAMILY
from specs.chip import Target
from specs.limits import Battery
from specs.spec import Spec


@dataclass(frozen=True)
class Best:
    """The best case of one metric: the figure, the corner that has it, and what the figure rests on."""

    estimate: Estimate
    corner: Corner | None = None
    basis: str = ""


def format_of(target: Target) -> Format:
    """The file format that the target's workloads are read in."""
    return "onnx" if target.runtime.id == "onnxruntime" else "tflite"


def best_cases(spec: Spec, space: SearchSpace) -> dict[str, Best]:
    """The best case of every cost metric, before reserved memory and pipeline stages, by metric name.

    Memory is counted as the spec's limits say; `chip_ram_bytes` and `chip_flash_bytes` count everything.
    """
    target, found = space.target, corners(space, format_of(space.target))
    latency = best_latency(found, target)
    energy = best_energy(latency, target)
    result = {
        "latency_ms": latency,
        "energy_mj": energy,
        "power_mw": best_power(target),
        "chip_ram_bytes": best_ram(found, target, counts="all"),
        "chip_flash_bytes": best_flash(found, target, counts="all"),
    }
    ram, flash = spec.limit("peak_ram"), spec.limit("flash")
    result["peak_ram_bytes"] = best_ram(found, target, counts=ram.counts if ram else "all")
    result["flash_bytes"] = best_flash(found, target, counts=flash.counts if flash else "all")
    battery, cost = spec.limit("battery"), spec.limit("unit_cost")
    if battery and battery.battery:
        result["battery_d"] = longest_life(battery.battery, latency, spec.pipeline_ms, target)
    if cost:
        price = unit_cost(target.chip, cost.volume)
        result["unit_cost_usd"] = _low(price, "the catalogue's price, at the low end of what is paid")
    return result


def figures(best: Mapping[str, Best]) -> dict[str, Estimate]:
    """The metrics alone, as `advisor.score` takes them."""
    return {name: case.estimate for name, case in best.items()}


def best_latency(found: tuple[Corner, ...], target: Target) -> Best:
    """All MACs at the peak of every unit the runtime may use; overheads and memory traffic taken as nothing."""
    # least MACs decide, or where the runtime may use Winograd's transforms the least of those it cannot save
    chosen: list[tuple[float, Corner, Estimate]] = []
    for precision in dict.fromkeys(c.workload.precision for c in found if c.workload):
        same = tuple(c for c in found if c.workload and c.workload.precision == precision)
        for corner in _least_work(same):
            if corner.workload is None:
                continue
            bound = lower_bound_ms(corner.workload, target)
            if bound.value is None:
                return Best(bound)
            chosen.append((bound.value, corner, bound))
    opaque = next((c for c in found if c.workload is None), None)
    if opaque is not None:
        return Best(Estimate.exact(0.0, "assumed"), opaque, "an imported network may be as small as it likes")
    _, corner, bound = min(chosen, key=lambda entry: entry[0])
    return Best(bound, corner, f"{corner.macs:,} MACs at the peak of every unit the runtime may use")


def _least_work(found: tuple[Corner, ...]) -> tuple[Corner, ...]:
    """The corners that may have the least latency whatever share of window MACs is saved: the lower hull's ends and
    everything between."""
    rows = sorted(found, key=lambda c: (c.macs - c.window_macs, c.window_macs))
    kept: list[Corner] = []
    for corner in rows:
        if not kept or corner.window_macs < kept[-1].window_macs:
            kept.append(corner)
    return tuple(kept)


def best_ram(found: tuple[Corner, ...], target: Target, *, counts: str) -> Best:
    """Activations alive at once, the runtime's records and its own memory at the low end."""
    if target.runtime.id in TFLM_FAMILY:
        need: Callable[[Corner], float] = lambda c: c.live_bytes + c.records_bytes  # noqa: E731
        basis = "activations alive at once and the interpreter's records"
    elif any(memory.kind == "dram" for memory in target.chip.memories):
        need = lambda c: c.live_bytes + (c.weight_bytes if counts == "all" else 0)  # noqa: E731
        basis = "activations alive at once" + (", weights" if counts == "all" else "")
    else:
        need = lambda c: c.live_bytes // 2  # noqa: E731 - toolchains that overlay inputs and outputs
        basis = "half the activations alive at once, where the toolchain overlays inputs and outputs"
    corner = smallest(found, need)
    value = need(corner)
    # the interpreter's records and what a toolchain overlays are no exact science
    source: Source = _source(corner) if target.runtime.id not in TFLM_FAMILY else "assumed"
    if counts == "all":
        value += target.runtime.ram_bytes[0]
        source, basis = "assumed", f"{basis}, {target.runtime.name} at its smallest"
    return Best(Estimate.exact(value, source), corner, basis)


def best_flash(found: tuple[Corner, ...], target: Target, *, counts: str) -> Best:
    """The smallest model file, and the runtime's code at the low end."""
    no_file = target.runtime.id == "stm32cube-ai"  # generated C code: the weights are stored, no model file is
    corner = smallest(found, (lambda c: c.weight_bytes) if no_file else (lambda c: c.file_bytes))
    value, source = float(corner.weight_bytes if no_file else corner.file_bytes), _source(corner)
    basis = "weights" if no_file else "weights and the file's structure"
    if counts == "all":
        value += target.runtime.flash_bytes[0]
        source, basis = "assumed", f"{basis}, {target.runtime.name}'s code at its smallest"
    return Best(Estimate.exact(value, source), corner, basis)


def best_power(target: Target) -> Best:
    """One busy core draws at least the chip's idle power, and at least its share of what all of them draw."""
    floor = power_floor_mw(target)
    if floor is None:
        return Best(Estimate.absent(_no_power(target)))
    return Best(Estimate.exact(floor, "assumed"), basis="the chip's active power at the low end, one core busy")


def best_energy(latency: Best, target: Target) -> Best:
    """All cores busy at the low end of active power for the least latency.

    One core alone is no better: it draws more than its share (all pay for the idle rest), and takes longer by as much.
    """
    active = target.chip.power_state("active")
    if active is None:
        return Best(Estimate.absent(_no_power(target)))
    if latency.estimate.value is None:
        return Best(latency.estimate)
    value = active.low_mw * latency.estimate.value / 1e3
    return Best(Estimate.exact(value, "assumed"), latency.corner, "active power at the low end for the least latency")


def longest_life(battery: Battery, latency: Best, pipeline_ms: float, target: Target) -> Best:
    """Days at the least mean power: the least energy an inference, asleep in between at the least the chip can.

    A device too slow for its period runs without pause, on the power of one busy core: the mean is no less than the
    lesser of the two.
    """
    asleep_mw, basis = sleep_floor_mw(battery, target)
    busy_mw, active = power_floor_mw(target), target.chip.power_state("active")
    if active is None or busy_mw is None:
        if not battery.sleep_ua:
            return Best(Estimate.absent(_no_power(target)))
        mean_mw, basis = asleep_mw, f"{basis} alone, for what the chip draws awake is unknown"
    else:
        shortest_ms = latency.estimate.value or 0.0
        awake_ms = shortest_ms + pipeline_ms
        period_ms = max(battery.every_ms, awake_ms)
        work_uj = active.low_mw * shortest_ms + min(busy_mw, active.low_mw) * pipeline_ms
        duty_mw = (work_uj + asleep_mw * (period_ms - awake_ms)) / period_ms
        mean_mw = min(duty_mw, busy_mw)
        basis = f"the least energy an inference and {basis}"
    if not mean_mw:
        return Best(Estimate.absent("no power drawn at all: give the battery limit's `sleep:`"))
    days = battery.capacity_mah * battery.voltage_v / mean_mw / HOURS_A_DAY
    return Best(Estimate.exact(days, "assumed"), latency.corner if active else None, basis)


def power_floor_mw(target: Target) -> float | None:
    """The least a working chip draws: of n cores of equal clock, one alone draws at least an nth of all together."""
    active, idle = target.chip.power_state("active"), target.chip.power_state("idle")
    if active is None:
        return None
    count = sum(unit.count for unit in target.chip.compute if unit.kind == "cpu") or 1
    return max(active.low_mw / count, idle.low_mw if idle else 0.0)


def sleep_floor_mw(battery: Battery, target: Target) -> tuple[float, str]:
    """The least power asleep, and whose figure it is."""
    if battery.sleep_ua is not None:
        return battery.sleep_ua * battery.voltage_v / 1e3, "the spec's sleep current"
    for name in ("sleep", "deep-sleep"):
        state = target.chip.power_state(name)
        if state is not None:
            return state.low_mw, f"the chip's {name} state"
    return 0.0, "no power asleep, for the chip's is unknown"


def _low(estimate: Estimate, basis: str) -> Best:
    if estimate.low is None:
        return Best(estimate)
    return Best(Estimate.exact(estimate.low, estimate.source), basis=basis)


def _source(corner: Corner) -> Source:
    return "computed" if corner.workload is not None else "assumed"


def _no_power(target: Target) -> str:
    return target.chip.unknown.get("power", "no active power state for this chip")
