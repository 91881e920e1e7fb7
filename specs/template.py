"""The commented spec that `advisor init` writes: what is asked for filled in, every other key shown as a comment."""

from __future__ import annotations

import json
from collections.abc import Sequence

from specs import catalog
from specs.chip import Chip, MemoryKind, Target
from specs.errors import SpecError
from specs.limits import (
    CORRUPTIONS,
    LATENCY_STATS,
    LIMIT_DIMENSION,
    LIMIT_EXAMPLE,
    LIMIT_KEYS,
    QUANTITY_KEYS,
)
from specs.schema import HELP, LIMIT_HELP, LIMIT_KEY_HELP
from specs.search import ARCHITECTURES, QUANTIZATIONS, SearchSpec
from specs.spec import (
    DEFAULT_OBJECTIVES,
    FRONTENDS,
    NORMALIZATIONS,
    OBJECTIVES,
    SCORES,
    TASK_KINDS,
    parse_spec,
)
from specs.units import TIME, Dimension

_COLUMN = 40
_VALUES = {
    "soft": "false",
    "stat": "p95",
    "scope": "model",
    "sustained": "10 min",
    "ambient": "25 C",
    "reserved": "0 B",
    "counts": "all",
    "capacity": "2400 mAh",
    "voltage": "3.7 V",
    "every": "10 s",
    "sleep": "20 uA",
    "volume": "1",
}
"""Defaults of the keys of limits; an example where the default is absence."""
_CHOICES = {"stat": LATENCY_STATS}
_KIB, _MIB = 1024, 1024**2


def template(name: str, kind: str, data: str, targets: Sequence[str], metric: str = "accuracy") -> str:
    """A spec as text that loads, with limits that fit the targets' memories.

    Raises:
        SpecError: an argument the spec would refuse.
    """
    wanted = [targets] if isinstance(targets, str) else list(targets)
    if not wanted:
        raise SpecError("at least one target is needed", where="targets", next="list them with `advisor targets`")
    found = [catalog.target(text) for text in wanted]
    chips = [target.chip for target in found]
    audio = kind == "audio-classification"
    lines = [
        "# What the device has to do. Keys behind a # are optional, units required; what is absent is unconstrained.",
        _line(0, "schema", "1", HELP["schema"]),
        _line(0, "name", _text(name), HELP["name"]),
        "",
        _line(0, "task", "", HELP["task"]),
        _line(1, "kind", _text(kind), _of(HELP["kind"], TASK_KINDS)),
        _line(1, "data", _text(data), HELP["data"]),
        _line(1, "metric", _text(metric), _of(HELP["metric"], SCORES)),
        *(
            [
                _line(1, "frontend", "auto", _of(HELP["frontend"], FRONTENDS), off=1),
                _line(1, "normalization", "auto", _of(HELP["normalization"], NORMALIZATIONS), off=1),
            ]
            if audio
            else []
        ),
        "",
        _line(0, "targets", f"[{', '.join(target.id for target in found)}]", HELP["targets"]),
        "",
        _line(0, "baseline", "", HELP["baseline"], off=0),
        _line(1, "model", "old.tflite", HELP["model"], off=0),
        "",
        _line(0, "limits", "", HELP["limits"]),
        *_limits(kind, chips),
        "",
        _line(0, "objectives", f"[{', '.join(DEFAULT_OBJECTIVES)}]", _of(HELP["objectives"], OBJECTIVES)),
        "",
        _line(0, "pipeline", "", f"{HELP['pipeline']}; {_units(TIME)}; default none", off=0),
        _line(1, "capture", "12 ms", "any names", off=0),
        _line(1, "preprocess", "5 ms", "", off=0),
        "",
        _line(0, "risk", "", HELP["risk"], off=0),
        _line(1, "feasible_probability", "0.9", HELP["feasible_probability"], off=0),
        "",
        *_search(found),
    ]
    text = "\n".join(lines) + "\n"
    parse_spec(text, where="template")
    return text


def _limits(kind: str, chips: list[Chip]) -> list[str]:
    small = any(chip.kind.startswith("mcu") for chip in chips)
    asked: dict[str, dict[str, str]] = {
        "latency": {"max": "100 ms" if small else "50 ms", "stat": "p95"},
        "peak_ram": _memory(chips, "ram") if small else _share_of(chips, "dram", 512 * _MIB),
        "flash": _memory(chips, "flash") if small else {"max": "64 MiB", "counts": "model"},
        "accuracy": {"min": "0.9"},
    }
    why = {"peak_ram": _whose(chips, "ram" if small else "dram"), "flash": _whose(chips, "flash") if small else ""}
    lines: list[str] = []
    befalls = CORRUPTIONS.get(kind, ())
    values, choices = _VALUES | {"under": f"[{', '.join(befalls[:4])}]"}, _CHOICES | {"under": befalls}
    for name, keys in LIMIT_KEYS.items():
        given = asked.get(name, {})
        off = None if given else 1
        whose = why.get(name, "") if given else ""
        lines.append(_line(1, name, "", LIMIT_HELP[name] + whose, off=off))
        bound, *others = keys.split()
        dimension = LIMIT_DIMENSION[name]
        share = f"{LIMIT_KEY_HELP[bound]}; 0 to 1, or %"
        note = f"{LIMIT_KEY_HELP[bound]}; {_units(dimension)}" if dimension else share
        lines.append(_line(2, bound, given.get(bound, LIMIT_EXAMPLE[name]), note, off=off))
        for key in others:
            note = _of(LIMIT_KEY_HELP[key], choices.get(key, ()))
            note = f"{note}; {_units(QUANTITY_KEYS[key])}" if key in QUANTITY_KEYS else note
            hidden = off if off is not None or key in given else 2
            lines.append(_line(2, key, given.get(key, values[key]), note, off=hidden))
    return lines


def _memory(chips: list[Chip], kind: MemoryKind) -> dict[str, str]:
    """All of the smallest microcontroller's memory, a quarter of it left to the firmware; empty where unknown.

    Where other targets are asked for beside microcontrollers, their runtimes take more than such a chip has: then the
    model's share is limited alone, as that is what a spec can ask of all of them.
    """
    smallest = _smallest(_small(chips), kind)
    size = smallest.memory_bytes(kind) if smallest else None
    if not size or size < 4 * _KIB:
        return {}
    if len(_small(chips)) < len(chips):
        return {"max": _bytes(size - size // 4), "counts": "model"}
    return {"max": _bytes(size), "reserved": _bytes(size // 4), "counts": "all"}


def _whose(chips: list[Chip], kind: MemoryKind) -> str:
    """Which of several targets a limit on memory fits; empty where there is one alone, or none of known size."""
    smallest = _smallest(_small(chips) or chips, kind)
    return f"; fits the tightest target, {smallest.id}" if smallest and len({chip.id for chip in chips}) > 1 else ""


def _small(chips: list[Chip]) -> list[Chip]:
    return [chip for chip in chips if chip.kind.startswith("mcu")]


def _smallest(chips: list[Chip], kind: MemoryKind) -> Chip | None:
    known = [chip for chip in chips if chip.memory_bytes(kind)]
    return min(known, key=lambda chip: chip.memory_bytes(kind) or 0, default=None)


def _share_of(chips: list[Chip], kind: MemoryKind, most: int) -> dict[str, str]:
    """A quarter of the smallest memory and no more than `most`: a system runs beside the model."""
    tightest = _smallest(chips, kind)
    smallest = (tightest.memory_bytes(kind) if tightest else None) or 4 * most
    return {"max": _bytes(min(most, max(smallest // 4, _MIB)))}


def _search(targets: list[Target]) -> list[str]:
    default = SearchSpec()
    pruning = ", ".join(f"{ratio:g}" for ratio in default.pruning)
    runs = set.intersection(*(set[str](target.runtime.precisions) for target in targets))
    widths = ", ".join(name for name in QUANTIZATIONS if name in runs)
    return [
        _line(0, "search", "", HELP["search"]),
        _line(1, "trials", str(default.trials), HELP["trials"]),
        _line(1, "time", f"{default.time_s / 60:g} min", f"{HELP['time']}; {_units(TIME)}"),
        _line(1, "measurements", str(default.measurements), HELP["measurements"], off=1),
        _line(1, "seed", str(default.seed), HELP["seed"], off=1),
        _line(1, "architectures", "[dscnn, resnet]", _of(HELP["architectures"], ARCHITECTURES), off=1),
        _line(1, "pruning", f"[{pruning}]", HELP["pruning"], off=1),
        _line(1, "quantization", f"[{widths}]", _of(HELP["quantization"], QUANTIZATIONS), off=1),
        _line(1, "harden", "false", HELP["harden"], off=1),
        _line(1, "distil", "false", HELP["distil"], off=1),
    ]


def _line(depth: int, key: str, value: str, note: str, *, off: int | None = None) -> str:
    """`key: value  # note`; with `off`, commented out at that depth so that deleting `# ` switches it on."""
    pad = "  " * depth if off is None else f"{'  ' * off}# {'  ' * (depth - off)}"
    text = f"{pad}{key}: {value}".rstrip()
    return f"{text:<{_COLUMN}} # {note}" if note else text


def _of(note: str, choices: Sequence[str]) -> str:
    return f"{note} ({', '.join(choices)})" if choices else note


def _units(dimension: Dimension) -> str:
    return ", ".join(unit for unit in dimension.units if unit.isascii())


def _bytes(size: int) -> str:
    return f"{size // _MIB} MiB" if size % _MIB == 0 else f"{size // _KIB} KiB" if size >= _KIB else f"{size} B"


def _text(text: str) -> str:
    """`text` as YAML takes it for text: plain where that is safe, else in quotes."""
    words = ("true", "false", "null", "yes", "no", "on", "off")
    simple = text.isascii() and text[:1].isalpha() and all(c.isalnum() or c in "-_./:" for c in text)
    plain = simple and not text.endswith(":") and text.lower() not in words
    return text if plain else json.dumps(text, ensure_ascii=False)
