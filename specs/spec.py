"""The spec: what the user's device must do, as one frozen value. `load_spec` reads YAML, `Spec.to_dict` writes it back.

Format: design's "Spec, version 1"; the JSON Schema for editors is `specs/spec.schema.json`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from specs import catalog
from specs.chip import Target
from specs.errors import SpecError, nearest
from specs.limits import CORRUPTIONS, LATENCY_STATS, LIMIT_DIMENSION, LIMIT_METRIC, Battery, Limit
from specs.reading import Node, parse_yaml, read_yaml
from specs.units import (
    CHARGE,
    CURRENT,
    MEMORY,
    TEMPERATURE,
    TIME,
    VOLTAGE,
    Dimension,
    format_quantity,
    parse_quantity,
    parse_share,
)

TaskKind = Literal["image-classification", "audio-classification", "timeseries-classification"]
TASK_KINDS = ("image-classification", "audio-classification", "timeseries-classification")
SCORES = ("accuracy", "balanced-accuracy", "macro-f1")
OBJECTIVES = ("accuracy", "latency", "energy", "peak_ram", "flash")
ARCHITECTURES = ("dscnn", "mobilenet", "resnet", "tcn")
QUANTIZATIONS = ("fp32", "fp16", "int8", "int8-pt2e")
FRONTENDS = ("auto", "log-mel", "mfcc", "raw")

_LIMIT_KEYS = {
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


@dataclass(frozen=True, slots=True)
class TaskSpec:
    kind: TaskKind
    data: str
    """`digits`, or a path relative to the spec file (folder, .npz, .csv, tree of .wav)."""
    metric: str = "accuracy"
    frontend: str = "auto"
    """Audio only: what turns a waveform into the network's input."""


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """The search budget. Empty tuples mean: whatever suits the task and the target's runtime."""

    trials: int = 100
    time_s: float = 1200.0
    measurements: int = 24
    seed: int = 0
    architectures: tuple[str, ...] = ()
    pruning: tuple[float, ...] = (0.0, 0.25, 0.5)
    quantization: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """A valid spec; constructing one by `load_spec` or `parse_spec` is the only supported way."""

    name: str
    task: TaskSpec
    targets: tuple[Target, ...]
    limits: tuple[Limit, ...] = ()
    objectives: tuple[str, ...] = ("accuracy", "latency")
    pipeline: tuple[tuple[str, float], ...] = ()
    """Stage name and its time in ms, per inference, beside the model."""
    feasible_probability: float = 0.9
    search: SearchSpec = field(default_factory=SearchSpec)
    baseline: str | None = None
    folder: Path = field(default=Path("."), compare=False)
    """Where relative paths of the spec start; not part of its identity."""

    @property
    def pipeline_ms(self) -> float:
        return sum(ms for _, ms in self.pipeline)

    def limit(self, name: str) -> Limit | None:
        return next((limit for limit in self.limits if limit.name == name), None)

    def data_path(self) -> Path:
        """The data set's path, for data that is not builtin."""
        return self.folder / self.task.data

    @property
    def id(self) -> str:
        """Short content id: SHA-256 of the canonical JSON, first 12 hex digits."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """The YAML document that parses to an equal spec; canonical units, defaults written out."""
        search = self.search
        document: dict[str, Any] = {
            "schema": 1,
            "name": self.name,
            "task": {"kind": self.task.kind, "data": self.task.data, "metric": self.task.metric},
            "targets": [target.id for target in self.targets],
            "limits": {limit.name: _limit_dict(limit) for limit in self.limits},
            "objectives": list(self.objectives),
            "pipeline": {stage: format_quantity(ms, TIME) for stage, ms in self.pipeline},
            "risk": {"feasible_probability": self.feasible_probability},
            "search": {
                "trials": search.trials,
                "time": f"{search.time_s!r} s",
                "measurements": search.measurements,
                "seed": search.seed,
                "architectures": list(search.architectures),
                "pruning": list(search.pruning),
                "quantization": list(search.quantization),
            },
        }
        if self.task.kind == "audio-classification":
            document["task"]["frontend"] = self.task.frontend
        if self.baseline:
            document["baseline"] = {"model": self.baseline}
        return document


def load_spec(path: Path) -> Spec:
    """The spec in the YAML file at `path`.

    Raises:
        SpecError: anything wrong, with file and key path.
    """
    return _spec(read_yaml(path), f"{path}: ", path.parent)


def parse_spec(text: str, *, where: str = "spec", folder: Path = Path(".")) -> Spec:
    """The spec in YAML `text`; `where` names it in errors."""
    return _spec(parse_yaml(text, where), f"{where}: ", folder)


def from_dict(document: dict[str, Any], *, where: str = "spec", folder: Path = Path(".")) -> Spec:
    """The spec in a document such as `Spec.to_dict` gives."""
    return _spec(document, f"{where}: ", folder)


def _spec(document: Any, where: str, folder: Path) -> Spec:
    top = Node(document, where, "schema name task targets baseline limits objectives pipeline risk search")
    if top.raw("schema", ...) != 1:
        raise SpecError("unknown schema", where=top.at("schema"), seen=top.raw("schema"), allowed="1")
    name = top.text("name")
    if not name or len(name) > 80 or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise SpecError("not a name", where=top.at("name"), seen=name, allowed="letters, digits, - _ . (at most 80)")
    spec = Spec(
        name=name,
        task=_task(top),
        targets=_targets(top),
        limits=_limits(top),
        objectives=_objectives(top),
        pipeline=_pipeline(top),
        feasible_probability=_risk(top),
        search=_search(top),
        baseline=Node(top.raw("baseline"), top.at("baseline"), "model").text("model") if "baseline" in top else None,
        folder=folder,
    )
    _contradictions(spec, top)
    return spec


def _task(top: Node) -> TaskSpec:
    node = Node(top.raw("task", ...), top.at("task"), "kind data metric frontend")
    kind = node.one_of("kind", TASK_KINDS)
    if "frontend" in node and kind != "audio-classification":
        raise SpecError("only audio tasks have a front end", where=node.at("frontend"), seen=node.raw("frontend"))
    metric = node.one_of("metric", SCORES, "accuracy")
    return TaskSpec(kind, node.text("data"), metric, node.one_of("frontend", FRONTENDS, "auto"))


def _targets(top: Node) -> tuple[Target, ...]:
    texts = top.many("targets")
    if not texts:
        raise SpecError(
            "at least one target is needed", where=top.at("targets"), next="list them with `advisor targets`"
        )
    found: list[Target] = []
    for index, text in enumerate(texts):
        with top.here(f"targets[{index}]"):
            target = catalog.target(text)
            if target in found:
                raise SpecError("target named twice", seen=text)
            found.append(target)
    return tuple(found)


def _limits(top: Node) -> tuple[Limit, ...]:
    if "limits" not in top:
        return ()
    node = Node(top.raw("limits"), top.at("limits"), " ".join(LIMIT_METRIC))
    return tuple(_limit(Node(value, node.at(name), _LIMIT_KEYS[name]), name) for name, value in node.value.items())


def _limit(node: Node, name: str) -> Limit:
    dimension = LIMIT_DIMENSION[name]
    key = _LIMIT_KEYS[name].split()[0]
    with node.here(key):
        raw = node.raw(key)
        if raw is None:
            raise SpecError("missing bound", next=f"add `{key}:`")
        bound = parse_quantity(raw, dimension) if dimension else parse_share(raw)
        if bound == 0 and name != "accuracy_drop" and key == "max":
            raise SpecError("a limit of zero can never be met", seen=raw)
    under = tuple(node.many("under")) if name == "robust_accuracy" else ()
    for item in under:
        if item not in CORRUPTIONS:
            hint = nearest(str(item), CORRUPTIONS)
            raise SpecError(
                "unknown corruption", where=node.at("under"), seen=item, allowed=", ".join(CORRUPTIONS), next=hint
            )
    return Limit(
        name=name,
        bound=bound,
        soft=node.flag("soft"),
        stat=node.one_of("stat", LATENCY_STATS, "p95"),
        scope=node.one_of("scope", ("model", "pipeline"), "model"),
        counts=node.one_of("counts", ("all", "model"), "all"),
        reserved_bytes=int(_quantity(node, "reserved", MEMORY) or 0),
        sustained_ms=_quantity(node, "sustained", TIME),
        ambient_c=_quantity(node, "ambient", TEMPERATURE, negative=True),
        battery=_battery(node) if name == "battery" else None,
        volume=node.whole("volume", 1, low=1),
        under=under,
    )


def _quantity(node: Node, key: str, dimension: Dimension, *, negative: bool = False) -> float | None:
    if key not in node:
        return None
    with node.here(key):
        return parse_quantity(node.raw(key), dimension, negative=negative)


def _battery(node: Node) -> Battery:
    figures = {}
    for key, dimension in (("capacity", CHARGE), ("voltage", VOLTAGE), ("every", TIME)):
        figures[key] = _quantity(node, key, dimension)
        if not figures[key]:
            raise SpecError(f"battery life needs {key}", where=node.at(key), seen=node.raw(key),
                            next=f"add `{key}:` above 0, in {dimension.canonical}")  # fmt: skip
    return Battery(
        figures["capacity"] or 0.0,
        figures["voltage"] or 0.0,
        figures["every"] or 0.0,
        _quantity(node, "sleep", CURRENT),
    )


def _objectives(top: Node) -> tuple[str, ...]:
    names = top.many("objectives") or ["accuracy", "latency"]
    for name in names:
        if name not in OBJECTIVES:
            hint = nearest(str(name), OBJECTIVES)
            raise SpecError(
                "unknown objective", where=top.at("objectives"), seen=name, allowed=", ".join(OBJECTIVES), next=hint
            )
    if len(set(names)) != len(names):
        raise SpecError("objective named twice", where=top.at("objectives"), seen=names)
    return tuple(names)


def _pipeline(top: Node) -> tuple[tuple[str, float], ...]:
    if "pipeline" not in top:
        return ()
    stages = top.raw("pipeline")
    if not isinstance(stages, dict):
        raise SpecError("a mapping of stage to time is needed", where=top.at("pipeline"), seen=stages)
    result = []
    for stage, value in stages.items():
        with top.here(f"pipeline.{stage}"):
            result.append((str(stage), parse_quantity(value, TIME)))
    return tuple(result)


def _risk(top: Node) -> float:
    node = Node(top.raw("risk", {}), top.at("risk"), "feasible_probability")
    with node.here("feasible_probability"):
        return parse_share(node.raw("feasible_probability", 0.9))


def _search(top: Node) -> SearchSpec:
    node = Node(
        top.raw("search", {}), top.at("search"), "trials time measurements seed architectures pruning quantization"
    )
    default = SearchSpec()
    for name in node.many("architectures"):
        if name not in ARCHITECTURES and not str(name).startswith("timm:"):
            allowed = ", ".join([*ARCHITECTURES, "timm:NAME"])
            hint = nearest(str(name), ARCHITECTURES)
            raise SpecError(
                "unknown architecture", where=node.at("architectures"), seen=name, allowed=allowed, next=hint
            )
    for name in node.many("quantization"):
        if name not in QUANTIZATIONS:
            allowed = ", ".join(QUANTIZATIONS)
            hint = nearest(str(name), QUANTIZATIONS)
            raise SpecError(
                "unknown quantization", where=node.at("quantization"), seen=name, allowed=allowed, next=hint
            )
    pruning = []
    for index, ratio in enumerate(node.many("pruning")):
        with node.here(f"pruning[{index}]"):
            pruning.append(parse_share(ratio))
            if pruning[-1] > 0.9:
                raise SpecError("pruning more than 90 % leaves no network", seen=ratio, allowed="0 to 0.9")
    time_ms = _quantity(node, "time", TIME)
    return SearchSpec(
        trials=node.whole("trials", default.trials, low=1, high=1_000_000),
        time_s=default.time_s if time_ms is None else time_ms / 1e3,
        measurements=node.whole("measurements", default.measurements, high=1_000_000),
        seed=node.whole("seed", default.seed, high=2**32 - 1),
        architectures=tuple(node.many("architectures")),
        pruning=tuple(pruning) or default.pruning,
        quantization=tuple(node.many("quantization")),
    )


def _contradictions(spec: Spec, top: Node) -> None:
    for name, kinds, what in (("peak_ram", ("ram", "dram"), "RAM"), ("flash", ("flash", "storage"), "flash")):
        limit = spec.limit(name)
        if limit is None:
            continue
        where = top.at(f"limits.{name}.reserved")
        if limit.reserved_bytes >= limit.bound and limit.reserved_bytes:
            raise SpecError("reserved leaves nothing of the limit", where=where, seen=f"{limit.reserved_bytes} B",
                            allowed=f"below max, {limit.bound:.0f} B")  # fmt: skip
        for target in spec.targets:
            size = target.chip.memory_bytes(*kinds)  # type: ignore[arg-type]  # literals from the table above
            if size is not None and limit.reserved_bytes > size:
                raise SpecError(f"reserved is more than the {what} of {target.chip.id}", where=where,
                                seen=f"{limit.reserved_bytes} B", allowed=f"at most {size} B")  # fmt: skip
    if spec.limit("accuracy_drop") and not spec.baseline:
        raise SpecError("an accuracy drop needs a baseline", where=top.at("limits.accuracy_drop"),
                        next="add `baseline: {model: FILE}`")  # fmt: skip
    if spec.limit("robust_accuracy") and spec.task.kind != "image-classification":
        raise SpecError(
            "robust accuracy is defined for images only", where=top.at("limits.robust_accuracy"), seen=spec.task.kind
        )


def _limit_dict(limit: Limit) -> dict[str, Any]:
    dimension = LIMIT_DIMENSION[limit.name]
    keys = _LIMIT_KEYS[limit.name].split()
    battery = limit.battery
    every: dict[str, Any] = {
        keys[0]: format_quantity(limit.bound, dimension) if dimension else limit.bound,
        "soft": limit.soft,
        "stat": limit.stat,
        "scope": limit.scope,
        "counts": limit.counts,
        "reserved": format_quantity(limit.reserved_bytes, MEMORY),
        "sustained": None if limit.sustained_ms is None else format_quantity(limit.sustained_ms, TIME),
        "ambient": None if limit.ambient_c is None else format_quantity(limit.ambient_c, TEMPERATURE),
        "volume": limit.volume,
        "under": list(limit.under),
    }
    if battery:
        every |= {
            "capacity": format_quantity(battery.capacity_mah, CHARGE),
            "voltage": format_quantity(battery.voltage_v, VOLTAGE),
            "every": format_quantity(battery.every_ms, TIME),
            "sleep": None if battery.sleep_ua is None else format_quantity(battery.sleep_ua, CURRENT),
        }
    return {key: every[key] for key in keys if every.get(key) is not None}
