"""The catalogue's targets that would pass a spec, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.feasibility.predict import meets_all
from advisor.feasibility.verdict import TRAINED, judge
from advisor.tasks.peek import Peek
from cost_models.energy import price_note, unit_cost
from cost_models.estimate import Estimate
from specs import catalog
from specs.spec import Spec

WANTED, MOST_ASKED = 10, 80
"""The cost model is asked too, from the cheapest on, until more chips than are wanted are predicted to pass, or so many
targets were asked."""


@dataclass(frozen=True, slots=True)
class ChipOption:
    """A target that no bound rules out. `open` names limits its description cannot answer at all.

    `likely`: whether one small candidate is predicted to meet all cost limits; None where that was not asked or a
    figure is missing.
    """

    target: str
    name: str
    price: Estimate
    price_note: str
    likely: bool | None
    open: tuple[str, ...] = ()


def passing(spec: Spec, peek: Peek) -> tuple[ChipOption, ...]:
    """Every other target of the catalogue that no bound rules out, by price; those of unknown price, then those with
    open limits last. Not the host: it is no part to buy."""
    named = {target.id for target in spec.targets}
    cost = spec.limit("unit_cost")
    found = []
    for target in catalog.targets():
        if target.id in named or target.is_host:
            continue
        report = judge(spec, target, peek, describe=False)
        if report.impossible:
            continue
        hard = [limit for limit in report.limits if not limit.soft and limit.name not in TRAINED]
        unanswered = tuple(limit.name for limit in hard if limit.met is None)
        found.append((target, unit_cost(target.chip, cost.volume if cost else 1), unanswered))
    found.sort(key=lambda entry: (bool(entry[2]), entry[1].value is None, entry[1].value or 0.0, entry[0].id))
    options: list[ChipOption] = []
    likely_chips: set[str] = set()
    for index, (target, price, unanswered) in enumerate(found):
        asking = len(likely_chips) <= WANTED and index < MOST_ASKED and not unanswered
        likely = meets_all(spec, target, peek) if asking else None
        if likely:
            likely_chips.add(target.chip.id)
        note = price_note(target.chip)
        options.append(ChipOption(target.id, target.chip.name, price, note, likely, unanswered))
    return tuple(options)
