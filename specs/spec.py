"""The spec: what the user's device must do, as one frozen value. `load_spec` reads YAML, `Spec.to_dict` writes it back.

Format: design's "Spec, version 1"; the JSON Schema for editors is `specs/spec.schema.json`.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from specs import catalog
from specs.chip import Target
from specs.contradictions import check_contradictions
from specs.errors import SpecError
from specs.limits import Limit, limit_dict, read_limits
from specs.reading import Node, check_document, parse_yaml, read_yaml, without_empties
from specs.search import SearchSpec, read_search
from specs.units import SECONDS, TIME, format_quantity, parse_quantity, parse_share

TaskKind = Literal["image-classification", "audio-classification", "timeseries-classification"]
TASK_KINDS = ("image-classification", "audio-classification", "timeseries-classification")
SCORES = ("accuracy", "balanced-accuracy", "macro-f1")
OBJECTIVES = ("accuracy", "latency", "energy", "peak_ram", "flash")
DEFAULT_OBJECTIVES = ("accuracy", "latency")
FRONTENDS = ("auto", "log-mel", "mfcc", "raw")
NORMALIZATIONS = ("auto", "sample", "training")

TOP_KEYS = "schema name task targets baseline limits objectives pipeline risk search"
TASK_KEYS = "kind data metric frontend normalization"
_DEFAULTED = ("architectures", "quantization")
"""Lists of `search` whose absence means: whatever suits; older runs recorded them empty."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    kind: TaskKind
    data: str
    """`digits`, or a path relative to the spec file (folder, .npz, .csv, tree of .wav)."""
    metric: str = "accuracy"
    frontend: str = "auto"
    """Audio only: what turns a waveform into the network's input."""
    normalization: str = "auto"
    """Audio only: whether each sample's own mean over time is subtracted (`sample`: what speakers, rooms and
    microphones differ in) or only that of the training split (`training`: steady sounds keep what tells them apart)."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A valid spec; constructing one by `load_spec` or `parse_spec` is the only supported way."""

    name: str
    task: TaskSpec
    targets: tuple[Target, ...]
    limits: tuple[Limit, ...] = ()
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
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
        document = self.to_dict()
        # what is absent counts as an empty list, as it was written down once: ids are the same
        document["search"] = {key: [] for key in _DEFAULTED} | document["search"]
        if self.task.normalization == "training":  # not written down while there was no other
            document["task"].pop("normalization", None)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """The YAML document that parses to an equal spec; canonical units, defaults written out."""
        search = self.search
        document: dict[str, Any] = {
            "schema": 1,
            "name": self.name,
            "task": {"kind": self.task.kind, "data": self.task.data, "metric": self.task.metric},
            "targets": [target.id for target in self.targets],
            "limits": {limit.name: limit_dict(limit) for limit in self.limits},
            "objectives": list(self.objectives),
            "pipeline": {stage: format_quantity(ms, TIME) for stage, ms in self.pipeline},
            "risk": {"feasible_probability": self.feasible_probability},
            "search": {
                "trials": search.trials,
                "time": format_quantity(search.time_s, SECONDS),
                "measurements": search.measurements,
                "seed": search.seed,
                **({"architectures": list(search.architectures)} if search.architectures else {}),
                "pruning": list(search.pruning),
                **({"quantization": list(search.quantization)} if search.quantization else {}),
                "harden": search.harden,
                "distil": search.distil,
            },
        }
        if self.task.kind == "audio-classification":
            document["task"] |= {"frontend": self.task.frontend, "normalization": self.task.normalization}
        if self.baseline:
            document["baseline"] = {"model": self.baseline}
        return document

    def to_yaml(self) -> str:
        """The same as text, keys in the format's order."""
        import yaml

        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=1000)


def load_spec(path: Path) -> Spec:
    """The spec in the YAML file at `path`.

    Raises:
        SpecError: anything wrong, with file and key path.
    """
    document = read_yaml(path)
    if (path.parent / "ledger.db").is_file():
        document = _recorded(document)
    return _spec(document, f"{path}: ", path.parent)


def parse_spec(text: str, *, where: str = "spec", folder: Path = Path("."), recorded: bool = False) -> Spec:
    """The spec in YAML `text`; `where` names it in errors, `recorded`: it is a run's."""
    document = parse_yaml(text, where)
    return _spec(_recorded(document) if recorded else document, f"{where}: ", folder)


def from_dict(document: dict[str, Any], *, where: str = "spec", folder: Path = Path(".")) -> Spec:
    """The spec in a document such as `Spec.to_dict` gives."""
    return _spec(document, f"{where}: ", folder)


def _recorded(document: Any) -> Any:
    """The document of a run, as it was meant when it was written."""
    document = without_empties(document, "search", _DEFAULTED)
    task = document.get("task") if isinstance(document, dict) else None
    if isinstance(task, dict) and "frontend" in task:
        task.setdefault("normalization", "training")  # there was no other
    return document


def _spec(document: Any, where: str, folder: Path) -> Spec:
    if document is None:
        raise SpecError("empty", where=where.removesuffix(": "), next="write a spec with `advisor init`")
    check_document(document, where)
    top = Node(document, where, TOP_KEYS)
    schema = top.raw("schema", ...)
    if type(schema) is not int or schema != 1:  # True and 1.0 equal 1 too
        newer = "this version reads no other; " if type(schema) is int and schema > 1 else ""
        raise SpecError("unknown schema", where=top.at("schema"), seen=schema, allowed="1",
                        next=f"{newer}write `schema: 1`, and the keys that `advisor init` shows")  # fmt: skip
    name = top.text("name")
    if not name or len(name) > 80 or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise SpecError("not a name", where=top.at("name"), seen=name, allowed="letters, digits, - _ . (at most 80)")
    task = _task(top)
    spec = Spec(
        name=name,
        task=task,
        targets=_targets(top),
        limits=read_limits(top, task.kind),
        objectives=_objectives(top),
        pipeline=_pipeline(top),
        feasible_probability=_risk(top),
        search=read_search(top),
        baseline=_path(Node(top.raw("baseline"), top.at("baseline"), "model"), "model") if "baseline" in top else None,
        folder=folder,
    )
    check_contradictions(spec, top)
    return spec


def _task(top: Node) -> TaskSpec:
    node = Node(top.raw("task", ...), top.at("task"), TASK_KEYS)
    kind = node.one_of("kind", TASK_KINDS)
    for key, what in (("frontend", "a front end"), ("normalization", "a normalization")):
        if key in node and kind != "audio-classification":
            raise SpecError(f"only audio tasks have {what}", where=node.at(key), seen=node.raw(key))
    metric, frontend = node.one_of("metric", SCORES, "accuracy"), node.one_of("frontend", FRONTENDS, "auto")
    normalization = node.one_of("normalization", NORMALIZATIONS, "auto")
    return TaskSpec(kind, _path(node, "data"), metric, frontend, normalization)


def _path(node: Node, key: str) -> str:
    """Text that can be a path; whether it exists is asked where it is read."""
    found: str = node.text(key)
    if not found.strip() or not found.isprintable() or len(found) > 1000:
        raise SpecError("not a path", where=node.at(key), seen=found, allowed="printable text, at most 1000 characters")
    return found


def _targets(top: Node) -> tuple[Target, ...]:
    texts = top.raw("targets", ...)
    if isinstance(texts, str):
        texts = [texts]
    elif not isinstance(texts, list) or not texts:
        raise SpecError("a list of chip:runtime is needed", where=top.at("targets"), seen=texts, next="advisor targets")
    found: list[Target] = []
    for index, text in enumerate(texts):
        with top.here(f"targets[{index}]"):
            target = catalog.target(text)
            if target in found:
                raise SpecError("target named twice", seen=text)
            found.append(target)
    return tuple(found)


def _objectives(top: Node) -> tuple[str, ...]:
    return top.names("objectives", OBJECTIVES) or DEFAULT_OBJECTIVES


def _pipeline(top: Node) -> tuple[tuple[str, float], ...]:
    stages, where = top.raw("pipeline", {}), top.at("pipeline")
    if not isinstance(stages, dict):
        raise SpecError("a mapping of stage to time is needed", where=where, seen=stages, next="write {capture: 5 ms}")
    result = []
    for stage, value in stages.items():
        if not stage.strip() or not stage.isprintable() or len(stage) > 80:
            raise SpecError("not a stage's name", where=where, seen=stage, allowed="printable, at most 80 characters")
        with top.here(f"pipeline.{stage}"):
            result.append((stage, parse_quantity(value, TIME)))
    if not math.isfinite(sum(ms for _, ms in result)):
        raise SpecError("the stages together are not finite", where=where)
    return tuple(result)


def _risk(top: Node) -> float:
    node = Node(top.raw("risk", {}), top.at("risk"), "feasible_probability")
    with node.here("feasible_probability"):
        found = parse_share(node.raw("feasible_probability", 0.9))
        if not 0 < found < 1:
            raise SpecError("no prediction is that sure", seen=found, allowed="above 0 and below 1")
        return found
