"""The JSON Schema of a spec, for editors, built from the tables the parser reads by.

`python -m specs.schema` writes `specs/spec.schema.json`.
What a schema cannot say (which chips exist, sums, sizes of memories) the parser alone checks.
"""

from __future__ import annotations

import json
import re
from typing import Any

from specs import catalog, limits, search, spec
from specs.limits import LIMIT_DIMENSION, LIMIT_EXAMPLE, LIMIT_KEYS, QUANTITY_KEYS
from specs.units import NUMBER_PATTERN, SECONDS, TIME, Dimension

Json = dict[str, Any]
_SEARCH = search.SearchSpec()

HELP = {
    "schema": "version of this format",
    "name": "names the run and its reports: letters, digits, - _ .",
    "task": "what is learned",
    "kind": "what goes in",
    "data": "`digits` (builtin), or a path relative to this file: folder, .npz, .csv, tree of .wav",
    "metric": "what accuracy means; default accuracy",
    "frontend": "audio only: what turns a waveform into the network's input; default auto",
    "normalization": "audio only: subtract each sample's own mean over time, or the training mean; default auto",
    "targets": "chip:runtime, one or several; `advisor targets` lists them",
    "baseline": "today's model, judged like a candidate; nothing it beats is recommended, accuracy_drop counts from it",
    "model": "path of the .onnx, .tflite or exported torch program (.pt2)",
    "limits": "hard unless `soft: true`; what is absent is unconstrained",
    "objectives": "what to trade off within the limits; default accuracy, latency",
    "pipeline": "stages beside the model and their time; added where a limit says `scope: pipeline`",
    "risk": "how sure a prediction has to be",
    "feasible_probability": "of meeting a limit that is predicted, not measured; above 0, below 1; default 0.9",
    "search": "the budget",
    "trials": f"candidates at most; default {_SEARCH.trials}",
    "time": "time for new candidates and their training; measuring the picks at the end comes on top; default 20 min",
    "measurements": f"measurements on devices at most; default {_SEARCH.measurements}",
    "seed": "same seed, same proposals; default 0",
    "architectures": "families to search, timm:NAME or model:PATH (your own); default: what suits task and target",
    "pruning": f"shares of channels to remove, 0 to {search.MAX_PRUNING}; default 0, 0.25, 0.5",
    "quantization": "bit widths to try; default: what the target's runtime executes",
    "harden": "true: train against the corruptions of limits.robust_accuracy as well; default false",
    "distil": "true: full trainings also follow the best network so far; default false, for it costs time and gained "
    "nothing reliable where it was measured",
}
"""One line for every key outside limits."""

LIMIT_HELP = {
    "latency": "time of one inference",
    "peak_ram": "memory at the worst moment",
    "flash": "program storage; disk on a Linux board",
    "energy": "energy of one inference",
    "power": "power while inferring",
    "battery": "battery life on a duty cycle: one inference, then sleep",
    "accuracy": "the task's metric on held-out data",
    "accuracy_drop": "accuracy lost against `baseline`",
    "robust_accuracy": "accuracy on corrupted samples, mean over corruptions and five severities",
    "unit_cost": "price of the part",
}

LIMIT_KEY_HELP = {
    "max": "the bound: not above",
    "min": "the bound: not below",
    "soft": "true: a wish, reported and never a reason to reject; default false",
    "stat": "statistic of repeated runs; default p95",
    "scope": "model, or pipeline: with the stages under `pipeline`; default model",
    "sustained": "must hold after running this long (heat); default: from a cold start",
    "ambient": "temperature around the device; default: as measured",
    "reserved": "taken by the rest of the application, counted on top; default 0 B",
    "counts": "all: the runtime's own share too; model: arena or model file alone; default all",
    "capacity": "of the battery",
    "voltage": "of the battery, nominal",
    "every": "one inference each",
    "sleep": "current between inferences; default: the chip's sleep state",
    "volume": "pieces bought at once; default 1",
    "under": "which corruptions; default all there are for the kind of task",
}


def spec_json_schema() -> Json:
    """The JSON Schema (draft 2020-12) of spec version 1."""
    properties: Json = {
        "schema": {"const": 1},
        "name": {"type": "string", "pattern": r"^[^\s./\\][^\s/\\]{0,79}$"},
        "task": _mapping(
            {
                "kind": {"enum": list(spec.TASK_KINDS)},
                "data": {"type": "string", "minLength": 1, "maxLength": 1000},
                "metric": {"enum": list(spec.SCORES), "default": "accuracy"},
                "frontend": {"enum": list(spec.FRONTENDS), "default": "auto"},
                "normalization": {"enum": list(spec.NORMALIZATIONS), "default": "auto"},
            },
            ["kind", "data"],
        ),
        "targets": {"oneOf": [_TARGET, {"type": "array", "items": _TARGET, "minItems": 1, "uniqueItems": True}]},
        "baseline": _mapping({"model": {"type": "string", "minLength": 1, "maxLength": 1000}}, ["model"]),
        "limits": _mapping({name: _limit(name) for name in LIMIT_KEYS}, [], LIMIT_HELP),
        "objectives": _list({"enum": list(spec.OBJECTIVES)}, default=list(spec.DEFAULT_OBJECTIVES), minItems=1),
        "pipeline": {"type": "object", "additionalProperties": quantity(TIME)},
        "risk": _mapping({"feasible_probability": _share(default=0.9, exclusiveMinimum=0, exclusiveMaximum=1)}, []),
        "search": _mapping(
            {
                "trials": {"type": "integer", "minimum": 1, "maximum": 1_000_000, "default": _SEARCH.trials},
                "time": quantity(SECONDS, positive=True),
                "measurements": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 24},
                "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "default": 0},
                "architectures": _list(
                    {"anyOf": [{"enum": list(search.ARCHITECTURES)}, {"type": "string", "pattern": "^(timm|model):."}]},
                    minItems=1,
                ),
                "pruning": _list(
                    _share(minimum=0, maximum=search.MAX_PRUNING), default=list(_SEARCH.pruning), minItems=1
                ),
                "quantization": _list({"enum": list(search.QUANTIZATIONS)}, minItems=1),
                "harden": {"type": "boolean", "default": False},
                "distil": {"type": "boolean", "default": False},
            },
            [],
        ),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:edge-advisor:spec:1",
        "title": "edge-advisor spec, version 1",
        **_mapping(properties, ["schema", "name", "task", "targets"]),
        "allOf": [
            _only_with("audio-classification", "task", "frontend"),
            _only_with("audio-classification", "task", "normalization"),
            _NEEDS_BASELINE,
            _HARDENS_AGAINST,
            *(_under(kind) for kind in limits.CORRUPTIONS),
        ],
    }


def quantity(dimension: Dimension, *, positive: bool = False, negative: bool = False) -> Json:
    """Schema of text with a unit of `dimension`."""
    units = "|".join(re.escape(unit) for unit in dimension.units)
    # A digit other than 0 before any exponent is what makes a number above zero.
    start = r"\s*(?=[^eE]*[1-9])\+?" if positive else r"\s*[+-]?" if negative else r"\s*\+?"
    pattern = rf"^{start}{NUMBER_PATTERN}\s*(?:{units})\s*$"
    return {"type": "string", "pattern": pattern, "maxLength": 80, "examples": [f"5 {dimension.canonical}"]}


def main() -> None:
    """Write `specs/spec.schema.json` anew."""
    path = catalog.root() / "spec.schema.json"
    path.write_text(schema_text(), "utf-8")
    print(path)


def schema_text() -> str:
    """The published file's content."""
    return json.dumps(spec_json_schema(), indent=2, ensure_ascii=False) + "\n"


_TARGET: Json = {"type": "string", "pattern": r"^[^\s:]+(?::[^\s:]*)?$", "examples": ["host:onnxruntime"]}
_NEEDS_BASELINE: Json = {
    "if": {"required": ["limits"], "properties": {"limits": {"required": ["accuracy_drop"]}}},
    "then": {"required": ["baseline"]},
}
_HARDENED: Json = {"required": ["harden"], "properties": {"harden": {"const": True}}}
_HARDENS_AGAINST: Json = {
    "if": {"required": ["search"], "properties": {"search": _HARDENED}},
    "then": {"required": ["limits"], "properties": {"limits": {"required": ["robust_accuracy"]}}},
}


def _under(kind: str) -> Json:
    """Corruptions are those of the task's kind."""
    names = {"properties": {"under": {"items": {"enum": list(limits.CORRUPTIONS[kind])}}}}
    return {
        "if": {"properties": {"task": {"properties": {"kind": {"const": kind}}}}},
        "then": {"properties": {"limits": {"properties": {"robust_accuracy": names}}}},
    }


def _only_with(kind: str, block: str, key: str) -> Json:
    return {
        "if": {"properties": {block: {"required": [key]}}},
        "then": {"properties": {block: {"properties": {"kind": {"const": kind}}}}},
    }


def _mapping(properties: Json, required: list[str], help: dict[str, str] = HELP) -> Json:
    described = {key: {"description": help[key], **value} for key, value in properties.items()}
    result: Json = {"type": "object", "properties": described, "additionalProperties": False}
    return {**result, "required": required} if required else result


def _list(items: Json, **more: object) -> Json:
    return {"type": "array", "items": items, "uniqueItems": True, **more}


def _share(**bounds: float) -> Json:
    default = {"default": bounds.pop("default")} if "default" in bounds else {}
    number = {"type": "number", **(bounds or {"minimum": 0, "maximum": 1})}
    text = {"type": "string", "pattern": rf"^\s*\+?{NUMBER_PATTERN}\s*%?\s*$", "maxLength": 80, "examples": ["92 %"]}
    return {"anyOf": [number, text], **default}


def _limit(name: str) -> Json:
    keys, dimension = LIMIT_KEYS[name].split(), LIMIT_DIMENSION[name]
    bound = quantity(dimension, positive=keys[0] == "max") if dimension else _share()
    bound["examples"] = [LIMIT_EXAMPLE[name] if dimension else float(LIMIT_EXAMPLE[name])]
    known: Json = {
        keys[0]: bound,
        "soft": {"type": "boolean", "default": False},
        "stat": {"enum": list(limits.LATENCY_STATS), "default": "p95"},
        "scope": {"enum": list(limits.SCOPES), "default": "model"},
        "counts": {"enum": list(limits.COUNTS), "default": "all"},
        "volume": {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 1},
        "under": _list({"enum": sorted({name for names in limits.CORRUPTIONS.values() for name in names})}, minItems=1),
    }
    for key, kind in QUANTITY_KEYS.items():
        above = key in ("sustained", "capacity", "voltage", "every")
        known[key] = quantity(kind, positive=above, negative=key == "ambient")
    required = [key for key in keys if key in (keys[0], "capacity", "voltage", "every")]
    return _mapping({key: known[key] for key in keys}, required, LIMIT_KEY_HELP)


if __name__ == "__main__":
    main()
