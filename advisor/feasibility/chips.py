"""The catalogue's targets that would pass a spec, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.feasibility.predict import meets_all
from advisor.feasibility.verdict import judge
from advisor.tasks.peek import Peek
from cost_models.energy import price_note, unit_cost
from cost_models.estimate import Estimate
from specs import catalog
from specs.spec import Spec

PREDICTED = 24
"""Of the cheapest targets the cost model is asked too; the others pass by their bounds."""


@dataclass(frozen=True, slots=True)
class ChipOption:
    """A target that no bound rules out. `likely`: whether one small candidate is predicted to meet all cost limits;
    None where that was not asked or a figure is missing."""

    target: str
    name: str
    price: Estimate
    price_note: str
    likely: bool | None


def passing(spec: Spec, peek: Peek) -> tuple[ChipOption, ...]:
    """Every other target of the catalogue the spec may pass on, by price; of unknown price last. Not the host: it is
    no part to buy."""
    named = {target.id for target in spec.targets}
    cost = spec.limit("unit_cost")
    found = []
    for target in catalog.targets():
        if target.id in named or target.is_host:
            continue
        if judge(spec, target, peek, describe=False).impossible:
            continue
        found.append((target, unit_cost(target.chip, cost.volume if cost else 1)))
    found.sort(key=lambda entry: (entry[1].value is None, entry[1].value or 0.0, entry[0].id))
    return tuple(
        ChipOption(
            target.id, target.chip.name, price, price_note(target.chip),
            meets_all(spec, target, peek) if index < PREDICTED else None,
        )
        for index, (target, price) in enumerate(found)
    )  # fmt: skip
