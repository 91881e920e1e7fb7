"""A target's space without the recipes it gains nothing from, decided once a run and kept with it."""

from __future__ import annotations

import json
from dataclasses import replace

from advisor.ledger import Ledger
from advisor.run import LEFT_OUT
from advisor.search.costing import Pricer
from advisor.search.profit import unprofitable
from advisor.search.study import anchors
from advisor.space.search_space import SearchSpace


def lean(space: SearchSpace, pricer: Pricer, ledger: Ledger) -> SearchSpace:
    """The space without what is left out; everything stays where the spec names its quantizations itself."""
    spec, name = pricer.spec, LEFT_OUT + space.target.id
    if name not in ledger.facts():
        candidates = [space.candidate(values) for values in anchors(space)]
        dropped = {} if spec.search.quantization else unprofitable(
            spec, space.target, candidates, space.quantization, pricer.before_training)  # fmt: skip
        ledger.set_fact(name, json.dumps(dropped))
    dropped = json.loads(ledger.facts()[name])
    return replace(space, quantization=tuple(q for q in space.quantization if q not in dropped) or space.quantization)
