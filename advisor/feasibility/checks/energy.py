"""Remarks on power: what the chip's description can and cannot tell."""

from __future__ import annotations

from advisor.feasibility.bounds import sleep_floor_mw
from advisor.feasibility.checks.base import Evidence, Finding, on
from specs.spec import Spec
from specs.units import human

MOST_ASLEEP = 0.5
"""Share of the mean power above which the sleep current decides the battery's life."""
_ENERGY_LIMITS = ("energy", "power", "battery")


class SleepDominates:
    code, title = "EA008", "the battery is drained asleep"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        limit = spec.limit("battery")
        if limit is None or limit.battery is None:
            return None
        texts, names = [], []
        for target in spec.targets:
            asleep_mw, basis = sleep_floor_mw(limit.battery, target)
            days = next((x.best.value for r, x in evidence.limits("battery") if r.target == target.id), None)
            if not days:
                continue
            mean_mw = limit.battery.capacity_mah * limit.battery.voltage_v / days / 24
            if asleep_mw > MOST_ASLEEP * mean_mw:
                share = f"{100 * min(1.0, asleep_mw / mean_mw):.0f} %"
                texts.append(f"{target.id}: {human(asleep_mw, 'mW')} asleep ({basis}) are up to {share} of the mean "
                             "power; a smaller network changes little")  # fmt: skip
                names.append(target.id)
        return Finding(self.code, "info", self.title, "; ".join(texts), tuple(names)) if texts else None


class NoPowerStates:
    code, title = "EA009", "energy cannot be known on this target"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        asked = [name for name in _ENERGY_LIMITS if spec.limit(name)]
        found = [target for target in spec.targets if target.chip.power_state("active") is None]
        if not asked or not found:
            return None
        reasons = "; ".join(f"{t.id}: {t.chip.unknown.get('power', 'no active power state')}" for t in found)
        text = f"{', '.join(asked)} limited, but {reasons}. Measure with a meter"
        return Finding(self.code, "warning", self.title, text, on(found))
