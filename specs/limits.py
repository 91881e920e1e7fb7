"""Limits: hard or soft bounds on a metric, each with its statistic, scope and reservations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from specs import units
from specs.errors import SpecError
from specs.reading import Node
from specs.units import Dimension, format_quantity, parse_quantity, parse_share

Sense = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure an evaluation can have: its name in results, canonical unit, better direction."""

    name: str
    unit: str
    sense: Sense
    """`max`: a limit on it is an upper bound (lower is better); `min`: the reverse."""
    label: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("latency_ms", "ms", "max", "latency"),
        Metric("peak_ram_bytes", "B", "max", "peak RAM"),
        Metric("flash_bytes", "B", "max", "flash"),
        Metric("energy_mj", "mJ", "max", "energy per inference"),
        Metric("power_mw", "mW", "max", "power while inferring"),
        Metric("battery_d", "d", "min", "battery life"),
        Metric("accuracy", "", "min", "accuracy"),
        Metric("accuracy_drop", "", "max", "accuracy lost against the baseline"),
        Metric("robust_accuracy", "", "min", "accuracy under corruption"),
        Metric("unit_cost_usd", "USD", "max", "unit cost"),
    )
}

LIMIT_METRIC = {
    "latency": "latency_ms",
    "peak_ram": "peak_ram_bytes",
    "flash": "flash_bytes",
    "energy": "energy_mj",
    "power": "power_mw",
    "battery": "battery_d",
    "accuracy": "accuracy",
    "accuracy_drop": "accuracy_drop",
    "robust_accuracy": "robust_accuracy",
    "unit_cost": "unit_cost_usd",
}
"""Key under `limits:` of a spec to the metric it bounds."""

LIMIT_DIMENSION: dict[str, units.Dimension | None] = {
    "latency": units.TIME,
    "peak_ram": units.MEMORY,
    "flash": units.MEMORY,
    "energy": units.ENERGY,
    "power": units.POWER,
    "battery": units.DURATION,
    "accuracy": None,
    "accuracy_drop": None,
    "robust_accuracy": None,
    "unit_cost": units.MONEY,
}

LIMIT_KEYS = {
    "latency": "max soft stat scope sustained ambient",
    "peak_ram": "max soft reserved counts",
    "flash": "max soft reserved counts",
    "energy": "max soft",
    "power": "max soft",
    "battery": "min soft capacity voltage every sleep",
    "accuracy": "min soft",
    "accuracy_drop": "max soft",
    "robust_accuracy": "min soft under",
    "unit_cost": "max soft volume",
}
"""Keys of each limit in a spec, its bound first."""

LIMIT_EXAMPLE = {
    "latency": "50 ms",
    "peak_ram": "256 KiB",
    "flash": "1 MiB",
    "energy": "3 mJ",
    "power": "500 mW",
    "battery": "180 d",
    "accuracy": "0.9",
    "accuracy_drop": "0.02",
    "robust_accuracy": "0.8",
    "unit_cost": "12 USD",
}
"""A bound of the right form for each limit: for error lines, the template and the JSON Schema."""

QUANTITY_KEYS: dict[str, Dimension] = {
    "reserved": units.MEMORY,
    "sustained": units.TIME,
    "ambient": units.TEMPERATURE,
    "capacity": units.CHARGE,
    "voltage": units.VOLTAGE,
    "every": units.TIME,
    "sleep": units.CURRENT,
}
"""Keys of limits that hold a quantity, beside the bound."""

LATENCY_STATS = ("p10", "p50", "p90", "p95", "p99", "mean", "max")
SCOPES = ("model", "pipeline")
COUNTS = ("all", "model")
CORRUPTIONS: dict[str, tuple[str, ...]] = {
    "image-classification": (
        "low-light",
        "motion-blur",
        "occlusion",
        "tilt",
        "noise",
        "jpeg",
        "defocus",
        "over-exposure",
    ),
    "audio-classification": ("noise", "clipping", "time-shift", "band-loss"),
    "timeseries-classification": ("drift", "noise", "dropout", "axis-misalignment"),
}
"""What a task of each kind may be judged under; `advisor.tasks.corruptions` says what each one does, how hard."""


@dataclass(frozen=True, slots=True)
class Battery:
    """Duty cycle: one inference each `every_ms`, asleep otherwise at `sleep_ua` (None: the chip's sleep state)."""

    capacity_mah: float
    voltage_v: float
    every_ms: float
    sleep_ua: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound of the spec. `bound` is in the metric's canonical unit.

    `reserved_bytes` of a memory is what the rest of the application takes: it is added to what a candidate needs.
    `counts` = `model` counts arena or model file alone, `all` adds the runtime's own RAM or code.
    `under` of robust accuracy names the corruptions; a spec that names none means all of its task's kind.
    """

    name: str
    bound: float
    soft: bool = False
    stat: str = "p95"
    scope: Literal["model", "pipeline"] = "model"
    counts: Literal["all", "model"] = "all"
    reserved_bytes: int = 0
    sustained_ms: float | None = None
    ambient_c: float | None = None
    battery: Battery | None = None
    volume: int = 1
    under: tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        return METRICS[LIMIT_METRIC[self.name]]

    def margin(self, value: float) -> float:
        """Signed relative distance of `value` (canonical unit) to the bound: ≤ 0 is met, 0.1 is 10 % beyond it.

        Shares (accuracy) keep absolute points, so that 0.91 against 0.92 is +0.01.
        """
        distance = value - self.bound if self.metric.sense == "max" else self.bound - value
        if self.metric.unit == "":
            return distance
        return distance / self.bound if self.bound else distance


def read_limits(top: Node, kind: str) -> tuple[Limit, ...]:
    """The limits under `limits:` of a spec's document for a task of `kind`, in the order of LIMIT_METRIC.

    Raises:
        SpecError: with the key path.
    """
    node = Node(top.raw("limits", {}), top.at("limits"), " ".join(LIMIT_METRIC))
    return tuple(_limit(node, name, kind) for name in LIMIT_METRIC if name in node)


def limit_dict(limit: Limit) -> dict[str, Any]:
    """The document of one limit that reads back to an equal one."""
    keys = LIMIT_KEYS[limit.name].split()
    dimension = LIMIT_DIMENSION[limit.name]
    values: dict[str, Any] = {
        keys[0]: format_quantity(limit.bound, dimension) if dimension else limit.bound,
        "soft": limit.soft,
        "stat": limit.stat,
        "scope": limit.scope,
        "counts": limit.counts,
        "volume": limit.volume,
        "under": list(limit.under),
    }
    quantities = {"reserved": limit.reserved_bytes, "sustained": limit.sustained_ms, "ambient": limit.ambient_c}
    if (battery := limit.battery) is not None:
        quantities |= {"capacity": battery.capacity_mah, "voltage": battery.voltage_v}
        quantities |= {"every": battery.every_ms, "sleep": battery.sleep_ua}
    for key, value in quantities.items():
        values[key] = None if value is None else format_quantity(value, QUANTITY_KEYS[key])
    return {key: values[key] for key in keys if values.get(key) is not None}


def _limit(parent: Node, name: str, kind: str) -> Limit:
    key, dimension = LIMIT_KEYS[name].split()[0], LIMIT_DIMENSION[name]
    node = _limit_node(parent, name, key)
    raw = node.raw(key, ...)
    with node.here(key):
        bound = parse_quantity(raw, dimension) if dimension else parse_share(raw)
        if bound == 0 and name != "accuracy_drop" and key == "max":
            raise SpecError("a limit of zero, or of next to nothing, can never be met", seen=raw,
                            next="raise it, or remove the limit")  # fmt: skip
    return Limit(
        name=name,
        bound=bound,
        soft=node.flag("soft"),
        stat=node.one_of("stat", LATENCY_STATS, "p95"),
        scope=node.one_of("scope", SCOPES, "model"),
        counts=node.one_of("counts", COUNTS, "all"),
        reserved_bytes=math.ceil(_quantity(node, "reserved") or 0),
        sustained_ms=_quantity(node, "sustained", positive=True),
        ambient_c=_ambient(node),
        battery=_battery(node) if name == "battery" else None,
        volume=node.whole("volume", 1, low=1),
        under=_under(node, kind) if name == "robust_accuracy" else (),
    )


def _under(node: Node, kind: str) -> tuple[str, ...]:
    """The corruptions named, all of the task's kind where none is."""
    known = CORRUPTIONS[kind]
    if "under" not in node:
        return known
    for index, name in enumerate(node.many("under")):
        owners = [other for other, names in CORRUPTIONS.items() if name in names]
        if owners and kind not in owners:
            raise SpecError(f"not something that befalls {kind} data", where=f"{node.at('under')}[{index}]", seen=name,
                            allowed=", ".join(known), next=f"{name} is for {' and '.join(owners)}")  # fmt: skip
    return node.names("under", known)


def _limit_node(parent: Node, name: str, key: str) -> Node:
    """The mapping of one limit; the two usual slips get an answer of their own."""
    value, where = parent.raw(name), parent.at(name)
    if not isinstance(value, dict):
        shown = LIMIT_EXAMPLE[name] if isinstance(value, (list, bool)) or len(str(value)) > 30 else value
        keys = LIMIT_KEYS[name].replace(" ", ", ")
        raise SpecError("a mapping is needed", where=where, seen=value, allowed=keys, next=f"write {{{key}: {shown}}}")
    other = "min" if key == "max" else "max"
    if other in value:
        side = "above" if key == "max" else "below"
        raise SpecError(
            f"{name} is bounded from {side}", where=f"{where}.{other}", seen=value[other], next=f"write `{key}:`"
        )
    return Node(value, where, LIMIT_KEYS[name])


def _quantity(node: Node, key: str, *, positive: bool = False) -> float | None:
    if key not in node:
        return None
    with node.here(key):
        found = parse_quantity(node.raw(key), QUANTITY_KEYS[key])
        if positive and not found:
            raise SpecError("must be above zero", seen=node.raw(key))
        return found


def _ambient(node: Node) -> float | None:
    if "ambient" not in node:
        return None
    with node.here("ambient"):
        found = parse_quantity(node.raw("ambient"), units.TEMPERATURE, negative=True)
        if not -100 <= found <= 200:
            raise SpecError("no silicon works there", seen=node.raw("ambient"), allowed="-100 C to 200 C")
        return found


def _battery(node: Node) -> Battery:
    figures = []
    for key in ("capacity", "voltage", "every"):
        if key not in node:
            unit = QUANTITY_KEYS[key].canonical
            raise SpecError(f"battery life needs {key}", where=node.at(key), next=f"add `{key}:`, in {unit}")
        figures.append(_quantity(node, key, positive=True) or 0.0)
    return Battery(figures[0], figures[1], figures[2], _quantity(node, "sleep"))
