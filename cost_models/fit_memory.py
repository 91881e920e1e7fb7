"""Fits what X-CUBE-AI takes beside weights, from ST's published tables or the facts in data/memory_facts.csv.

Deterministic, a second. The activations'
plan is arithmetic (cost_models.stm32); fitted are the margin of operators that write over their input, the tool's
structures and its code, each with the range that held nine in ten of the networks it had not seen.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from cost_models.mobilenets import mobilenet_v1, mobilenet_v2
from cost_models.read import read_workload
from cost_models.stm32 import features, plan
from cost_models.workload import Workload

HERE = Path(__file__).parent / "data"
TERMS = {"runtime_ram": ("layers", "weighted"), "code": ("layers", "kernels", "channels")}
FEW_FAMILIES = 6
"""Below, a family's own constant is all that can be told."""
NUMBERS = ("plan_bytes", "layers", "weighted", "kernels", "channels", "weight_bytes", "activations", "runtime_ram",
           "weights", "code")  # fmt: skip
QUANTILES = (0.05, 0.95)
SLACK = 1.02
"""Rounding of the published figures, which are whole KiB."""
GENERATIONS = ("7", "10")
"""Releases of X-CUBE-AI the tables are of: 7 and 8 in 2023, 10 in 2025; the last is what a new project gets."""
TABLES = ("stm32_modelzoo_2023.csv", "stm32_modelzoo_2025_partial.csv")
FAMILIES = ("miniresnet", "gmp", "ign", "svc", "fdmobilenet", "mobilenet_v1", "mobilenet_v2", "squeezenet", "stmnist",
            "resnet")  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One published network: what its graph says, and what the table says in bytes (0: not published)."""

    network: str
    family: str
    precision: str
    plan_bytes: int
    overlaid: bool
    layers: int
    weighted: int
    kernels: int
    channels: int
    weight_bytes: int
    activations: int
    runtime_ram: int
    weights: int
    code: int
    source: str


def extract(measurements: Path, models: Path) -> list[Fact]:
    """The rows of ST's tables whose network is a file at hand or a MobileNet, each network once."""
    found: dict[tuple[Any, ...], Fact] = {}
    for table in TABLES:
        path = measurements / table
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                fact = _fact(row, models)
                if fact is not None:
                    found.setdefault((fact.network, fact.activations, fact.code), fact)
    return sorted(found.values(), key=lambda f: (f.family, f.network, f.activations))


def _fact(row: dict[str, str], models: Path) -> Fact | None:
    notes = dict(part.split("=", 1) for part in row["notes"].split(";") if "=" in part)
    workload = _network(row, models) if "act_ram" in notes else None
    if workload is None:
        return None

    def kib(text: str) -> int:
        # tables say KiB or kB, and mean KiB: their weights are the files' to the byte
        return round(float(text or 0) * 1024)

    activations, weights = kib(notes["act_ram"]), kib(notes["weights_flash"])
    family = next(f for f in FAMILIES if f.replace("_", "") in workload.name.replace("_", "").lower())
    return Fact(
        workload.name, family, workload.precision, plan(workload).bytes, plan(workload).overlaid, **features(workload),
        weight_bytes=workload.weight_bytes, activations=activations, weights=weights,
        runtime_ram=kib(notes["runtime_ram"]) if "runtime_ram" in notes else kib(row["peak_ram_kb"]) - activations,
        code=kib(notes["code_flash"]) if "code_flash" in notes else kib(row["flash_kb"]) - weights,
        source=f"{row['source']} {row['source_path']}",
    )  # fmt: skip


def _network(row: dict[str, str], models: Path) -> Workload | None:
    wanted = row["model_variant"].replace(".h5", "_int8.tflite")
    if row["model"] == "FdMobileNet 0.25":  # the table leaves the path out
        wanted = f"fdmobilenet_0.25_{row['input_shape'].split('x')[0]}_int8.tflite"
    if wanted.endswith((".tflite", ".onnx")):
        paths = [p for p in sorted((models / "stm32").glob("*")) if p.name.endswith(wanted.replace("/", "__"))]
        if paths:
            workload = read_workload(paths[0])
            return _as_float(workload) if row["model_variant"].endswith(".h5") else workload
    words = row["model"].lower().split()
    if words[:2] not in (["mobilenet", "v1"], ["mobilenet", "v2"]) or len(words) < 3:
        return None
    side, _, channels = (int(part) for part in row["input_shape"].split("x"))
    build, imagenet = (mobilenet_v1, 1001) if words[1] == "v1" else (mobilenet_v2, 1000)
    return build(float(words[2]), side, imagenet if "ImageNet" in row["model_variant"] else 5, channels)


def _as_float(workload: Workload) -> Workload:
    """The Keras file an int8 one was made of."""
    return replace(
        workload,
        name=workload.name.replace("_int8", "_float"),
        tensors=tuple(replace(t, bits=32) for t in workload.tensors),
        operators=tuple(replace(op, weight_bytes=4 * op.params) for op in workload.operators),
        precision="fp32",
    )


def fit_memory(facts: Sequence[Fact]) -> dict[str, Any]:
    """The parameters of cost_models.stm32, and the errors on families left out."""
    return {
        "schema": 1,
        "fitted_on": hashlib.sha256(repr([asdict(f) for f in facts]).encode()).hexdigest(),
        "n": len(facts),
        "activations": _fit_activations(facts),
        **{what: {group: _fit_linear(facts, what, group) for group in ("int8", "fp32")} for what in TERMS},
    }


def held_out(facts: Sequence[Fact], predict: Callable[[Sequence[Fact], Fact], float],
             seen: Callable[[Fact], float]) -> list[float]:  # fmt: skip
    """Published over predicted, each family predicted from the others."""
    ratios = []
    for fact in facts:
        others = [f for f in facts if f.family != fact.family]
        ratios.append(seen(fact) / max(1.0, predict(others, fact)))
    return ratios


def _fit_activations(facts: Sequence[Fact]) -> dict[str, Any]:
    exact = [f for f in facts if not f.overlaid]
    found = held_out(exact, lambda _, f: f.plan_bytes, lambda f: f.activations)
    # the tool has releases: the later ones spread their tensors over several memories, which costs up to 80 % more
    overlay, ranges = {}, {}
    for name in GENERATIONS:
        rows = [f for f in facts if f.overlaid and generation(f) == name]
        ratios = held_out(rows, lambda others, f: _margin(others) * f.plan_bytes, lambda f: f.activations)
        overlay[name], ranges[name] = _margin(rows), _range(ratios, rows, 1.25)
    return {"overlay": overlay, "overlaid": ranges, "exact": _range(found, exact, 1.1)}


def generation(fact: Fact) -> str:
    """The releases of the tool a fact is of."""
    return "7" if "2023" in fact.source else "10"


def _margin(facts: Sequence[Fact]) -> float:
    return round(float(np.median([f.activations / max(1, f.plan_bytes) for f in facts])), 4) if facts else 1.0


def _fit_linear(facts: Sequence[Fact], what: str, group: str) -> dict[str, Any]:
    rows = [f for f in facts if f.precision == group and getattr(f, what) > 0]
    ratios = held_out(rows, lambda others, f: linear(_solve(others, what), f), lambda f: getattr(f, what))
    return {**_solve(rows, what), "range": _range(ratios, rows, 1.25)}


def _solve(rows: Sequence[Fact], what: str) -> dict[str, float]:
    """Least squares of the relative error, no term below zero; a network published for several sizes counts once."""
    shares = {f.family: sum(o.family == f.family for o in rows) for f in rows}
    terms = TERMS[what] if len(shares) >= FEW_FAMILIES else ()
    matrix, wanted = [], []
    for fact in rows:
        weight = 1.0 / getattr(fact, what) / shares[fact.family] ** 0.5
        matrix.append([weight, *(weight * getattr(fact, term) for term in terms)])
        wanted.append(weight * getattr(fact, what))
    found, _ = nnls(np.array(matrix), np.array(wanted))
    return {name: round(float(v), 4) for name, v in zip(("base", *terms), found, strict=True)}


def linear(model: dict[str, float], fact: Fact) -> float:
    terms = {name: value for name, value in model.items() if name not in ("base", "range")}
    return model["base"] + float(sum(value * getattr(fact, name) for name, value in terms.items()))


def predicted(model: dict[str, Any], fact: Fact) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """RAM and flash of a network as cost_models.stm32 adds them up: value, low, high of each."""
    group = fact.precision if fact.precision == "int8" else "fp32"
    part = model["activations"]
    value, ends = fact.plan_bytes * 1.0, part["exact"]
    if fact.overlaid:
        value, ends = value * part["overlay"][generation(fact)], part["overlaid"][generation(fact)]
    own, code = (linear(model[what][group], fact) for what in TERMS)
    own_ends, code_ends = (model[what][group]["range"] for what in TERMS)
    low, high = (value * end + own * own_end for end, own_end in zip(ends, own_ends, strict=True))
    least, most = (fact.weight_bytes + code * end for end in code_ends)
    return (value + own, low, high), (fact.weight_bytes + code, least, most)


def _range(ratios: Sequence[float], facts: Sequence[Fact], floor: float) -> list[float]:
    """Factors that hold nine in ten unseen networks, every family counting once; `floor` is what few tell at least."""
    order = np.argsort(ratios)
    shares = {f.family: sum(o.family == f.family for o in facts) for f in facts}
    weights = np.array([1.0 / shares[f.family] for f in facts])[order]
    # the place of each ratio in the distribution of one more, unseen family
    places = np.cumsum(weights) / (weights.sum() + 1.0)
    ordered = np.array(ratios)[order]
    low, high = (float(np.interp(q, places, ordered)) for q in QUANTILES)
    least = SLACK if len(shares) >= FEW_FAMILIES else floor
    return [round(min(low / SLACK, 1 / least), 4), round(max(high * SLACK, least), 4)]


def read_facts(path: Path) -> list[Fact]:
    with path.open(newline="", encoding="utf-8") as file:
        return [_carried(row) for row in csv.DictReader(file)]


def _carried(row: dict[str, str]) -> Fact:
    numbers = {name: int(row[name]) for name in NUMBERS}
    text = {name: row[name] for name in ("network", "family", "precision", "source")}
    return Fact(**text, **numbers, overlaid=row["overlaid"] == "True")  # type: ignore[arg-type]  # by its columns


def write_facts(facts: Sequence[Fact], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(facts[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(f) for f in facts)


def refit(measurements: Path | None, networks: Path | None, out: Path) -> list[str]:
    """Write `memory_facts.csv` and `memory.json` below `out`; returns the lines of a report.

    From ST's tables and the networks they name where both folders are given and have them, else from the facts
    carried.
    """
    there = measurements is not None and any((measurements / name).is_file() for name in TABLES)
    facts = extract(measurements, networks) if measurements and networks and there else []
    facts = facts or read_facts(HERE / "memory_facts.csv")
    write_facts(facts, out / "memory_facts.csv")
    (out / "memory.json").write_text(json.dumps(fit_memory(facts), indent=1) + "\n", encoding="utf-8")
    return [f"{len(facts)} networks with published RAM or flash"]
