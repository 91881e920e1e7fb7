"""What was learned of cycles per operation: additive log effects of precision, runtime and core (data/efficiency.json).

Cycles of an operator = cycles an operation of its group x operations, the logarithm of the former being
    base + precision + runtime + core class + core + (class or core, precision) + (runtime, class or core)
so that a runtime seen on one core and a core seen with another runtime tell something of the two together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp
from typing import Any

from specs.chip import Chip, Precision

SCHEMA = 2
TERMS = ("conv", "dwconv", "dense", "output", "byte", "op")
"""What costs cycles: a MAC of each group, an element these write (where sums are scaled back and stored), a byte any
other operator moves, and an operator's call."""
CORE_CLASSES = {
    "mcu-scalar": "cortex-m0 cortex-m3 cortex-m23 cortex-r avr msp430",
    "mcu-dsp": "cortex-m4 cortex-m7 cortex-m33 cortex-m35 andes hazard3",
    "mcu-vector": "cortex-m52 cortex-m55 cortex-m85 hifi",
    "mcu-esp": "xtensa riscv-rv32 riscv-p4",
    "npu": "silabs-mvp ethos neural-art neutron max78 kendryte",
    "a-inorder": "cortex-a5 cortex-a7 cortex-a8 cortex-a32 cortex-a35 cortex-a53 cortex-a55 cortex-a510 cortex-a520 "
    "riscv-rv64 riscv-c906",
    "a-outoforder": "cortex-a9 cortex-a15 cortex-a17 cortex-a57 cortex-a71 cortex-a72 cortex-a73 cortex-a75 "
    "cortex-a76 cortex-a77 cortex-a78 cortex-a720 cortex-a710 cortex-a715 cortex-x kryo "
    "neoverse nvidia-carmel nvidia-denver apple",
    "x86": "x86 intel amd host",
}
_BY_KIND = {"mcu": "mcu-dsp", "mcu+npu": "mcu-vector", "mpu": "a-inorder", "mpu+npu": "a-outoforder",
            "phone": "a-outoforder", "gpu": "a-outoforder", "npu": "a-inorder", "x86": "x86",
            "host": "x86"}  # fmt: skip


def core_class(core: str, chip: Chip | None = None) -> str:
    """The class of a core by its id, or by the kind of chip it sits on where the id says nothing."""
    if core == "host" and chip is not None and any({"neon", "asimd"} & set(unit.vector) for unit in chip.compute):
        return "a-outoforder"
    core = core.lower()
    best, length = "", 0
    for name, prefixes in CORE_CLASSES.items():
        for prefix in prefixes.split():
            digits_follow = core[len(prefix) : len(prefix) + 1].isdigit() and prefix[-1].isdigit()
            if core.startswith(prefix) and not digits_follow and len(prefix) > length:
                best, length = name, len(prefix)
    return best or (_BY_KIND[chip.kind] if chip is not None else "a-inorder")


@dataclass(frozen=True, slots=True)
class Cycles:
    """Cycles by TERMS, the factor that holds the truth in 90 % of cases, and what it rests on."""

    per: tuple[float, ...]
    factor: float
    known: bool
    """Measurements of this runtime on this class of core stand behind it."""
    n: int
    basis: str


class Efficiency:
    """The fitted effects, as a lookup. `effects` maps `base`, `precision:int8`, `runtime:tflm|int8`, … to rows.

    Raises:
        ValueError: data of another schema.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        if data.get("schema") != SCHEMA or data.get("terms") != list(TERMS):
            raise ValueError(f"efficiencies of schema {data.get('schema')!r}, this version reads {SCHEMA}: "
                             "run python -m cost_models.fit")  # fmt: skip
        self.effects: dict[str, list[float]] = data["effects"]
        self.counts: dict[str, int] = data["counts"]
        self.factors: dict[str, float] = data["factors"]
        self.defaults: dict[str, dict[str, Any]] = data["defaults"]

    def cycles(self, runtime: str, core: str, kind: str, precision: Precision) -> Cycles:
        """Cycles on one core of class `kind`; never fails: what is not known widens the interval."""
        keys = effect_keys(runtime, core, kind, precision)
        logs = [sum(column) for column in zip(*(self.effects[k] for k in keys if k in self.effects), strict=True)]
        n = self.counts.get(f"runtime core:{runtime}|{precision}|{core}", 0)
        n_class = self.counts.get(f"runtime class:{runtime}|{precision}|{kind}", 0)
        crossed = self.counts.get(f"class:{kind}", 0)
        level = "core" if n else "class" if n_class else "crossed" if crossed else "default"
        family = next((f for f in ("mcu", "a-", "x86") if kind.startswith(f)), "")
        factor = self.factors.get(f"{level}:{family}", self.factors[level])
        if level == "default" and kind in self.defaults:
            entry = self.defaults[kind]
            return Cycles(tuple(entry[precision]), factor, False, 0, entry["source"])
        return Cycles(tuple(exp(value) for value in logs), factor, level in ("core", "class"), n or n_class, level)


def effect_keys(runtime: str, core: str, kind: str, precision: str) -> list[str]:
    """The effects that add up for one runtime, core and precision."""
    return ["base", f"precision:{precision}", f"runtime:{runtime}|{precision}", f"class:{kind}", f"core:{core}",
            f"class precision:{kind}|{precision}", f"core precision:{core}|{precision}",
            f"runtime class:{runtime}|{precision}|{kind}", f"runtime core:{runtime}|{precision}|{core}"]  # fmt: skip


@cache
def load() -> Efficiency:
    """The effects the package carries."""
    return Efficiency(json.loads((files("cost_models") / "data" / "efficiency.json").read_text("utf-8")))
