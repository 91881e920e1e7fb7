"""Remarks on targets: accelerators left idle, prices missing, limits beyond what the chip has."""

from __future__ import annotations

from advisor.feasibility.checks.base import Evidence, Finding, on
from cost_models.analytic import CPU_ONLY
from cost_models.energy import price_note
from specs.chip import MemoryKind
from specs.spec import Spec
from specs.units import human


class NoInt8:
    code, title = "EA010", "no int8 on this runtime"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        found = [target for target in spec.targets if "int8" not in target.runtime.precisions]
        if not found:
            return None
        text = "weights and activations take two to four times the memory there; another runtime may run int8"
        return Finding(self.code, "warning", self.title, text, on(found))


class AcceleratorIdle:
    code, title = "EA011", "the runtime leaves an accelerator idle"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        found = [
            target for target in spec.targets
            if target.runtime.id in CPU_ONLY and any(unit.kind != "cpu" for unit in target.chip.compute)
        ]  # fmt: skip
        if not found:
            return None
        texts = []
        for target in found:
            units = ", ".join(unit.name for unit in target.chip.compute if unit.kind != "cpu")
            others = [f"{target.chip.id}:{name}" for name in target.chip.runtimes if name not in CPU_ONLY]
            texts.append(f"{target.id} does not use {units}" + (f"; see {', '.join(others)}" if others else ""))
        return Finding(self.code, "info", self.title, "; ".join(texts), on(found))


class BeyondChip:
    code, title = "EA012", "a memory limit is above what the chip has"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        texts, found = [], []
        kinds: tuple[tuple[str, tuple[MemoryKind, MemoryKind]], ...] = (
            ("peak_ram", ("ram", "dram")),
            ("flash", ("flash", "storage")),
        )
        for name, memories in kinds:
            limit = spec.limit(name)
            for target in spec.targets if limit else ():
                size = target.chip.memory_bytes(*memories)
                if limit and size and limit.bound > size:
                    texts.append(f"{target.id}: {limit.metric.label} up to {human(limit.bound, 'B')} allowed, "
                                 f"{human(size, 'B')} there")  # fmt: skip
                    found.append(target)
        names = tuple(dict.fromkeys(on(found)))
        return Finding(self.code, "warning", self.title, "; ".join(texts), names) if texts else None


class PriceUnknown:
    code, title = "EA013", "unit cost limited, price unknown"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        found = [target for target in spec.targets if target.chip.price is None]
        if spec.limit("unit_cost") is None or not found:
            return None
        text = "; ".join(f"{t.chip.name}: {t.chip.unknown.get('price', 'no price in the catalogue')}" for t in found)
        return Finding(self.code, "warning", self.title, text, on(found))


class OtherVolume:
    code, title = "EA014", "the price is for another volume"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        limit = spec.limit("unit_cost")
        found = [t for t in spec.targets if limit and t.chip.price and t.chip.price.volume != limit.volume]
        if limit is None or not found:
            return None
        known = "; ".join(f"{target.chip.name}: {price_note(target.chip)}" for target in found)
        text = f"asked for {limit.volume} pieces, known for {known}. Half to twice the price is allowed for"
        return Finding(self.code, "info", self.title, text, on(found))
