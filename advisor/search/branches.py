"""The branches of a define-by-run space, as far as trials have shown them.

Every distinct set of parameter names is a *branch*; a discrete parameter whose values tell one branch from another is a
*switch*, kept to the values that led into its branch. A candidate is thus a whole parameter set of one branch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from advisor.search.points import Params, contains, draw, grid, hashable, moved

_MOST_TOLD_APART = 64
"""Branches of which switches are looked for: the pairs of more take too long."""


@dataclass(frozen=True)
class Branch:
    """One set of parameters that trials had together, and which values its switches may take."""

    space: Mapping[str, BaseDistribution]
    switches: Mapping[str, tuple[Any, ...]]

    def grid(self) -> dict[str, Sequence[Any]] | None:
        """Every parameter's values, None where one is continuous."""
        found: dict[str, Sequence[Any]] = {}
        for name, distribution in self.space.items():
            values = self.switches.get(name) or grid(distribution)
            if values is None:
                return None
            found[name] = values
        return found

    def size(self) -> float:
        """How many parameter sets there are; infinite where one is continuous."""
        values = self.grid()
        return math.inf if values is None else math.prod(len(v) for v in values.values())

    def all(self) -> Iterator[dict[str, Any]]:
        values = self.grid() or {}
        for row in itertools.product(*values.values()):
            yield dict(zip(values, row, strict=True))

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        return {name: self._value(name, rng) for name in self.space}

    def fitted(self, parent: Params, rng: np.random.Generator) -> dict[str, Any]:
        """The parent as a point of this branch: what it lacks, or what a range no longer holds, is drawn."""
        return {
            name: parent[name] if contains(distribution, parent.get(name)) else self._value(name, rng)
            for name, distribution in self.space.items()
        }

    def varied(self, point: Params, rng: np.random.Generator) -> dict[str, Any]:
        """A point of this branch with one to three parameters changed."""
        child = dict(point)
        names = list(self.space)
        for at in rng.integers(len(names), size=int(rng.integers(1, 4))):
            child[names[at]] = self._value(names[at], rng, point[names[at]])
        return child

    def _value(self, name: str, rng: np.random.Generator, near: Any = None) -> Any:
        if name in self.switches:
            return self.switches[name][int(rng.integers(len(self.switches[name])))]
        distribution = self.space[name]
        if near is None or isinstance(distribution, CategoricalDistribution):
            return draw(distribution, rng)
        return moved(distribution, near, rng)


class Shown:
    """The branches that trials have shown so far, each trial read once."""

    def __init__(self) -> None:
        self._read: set[int] = set()
        self._latest: dict[str, BaseDistribution] = {}
        self._values: dict[frozenset[str], dict[str, set[Any]]] = {}
        self._branches: list[Branch] = []

    def branches(self, trials: Sequence[FrozenTrial], given: Mapping[str, BaseDistribution]) -> list[Branch]:
        """Of the finished trials, with the latest ranges; while there are none, of those that got less far, and
        without any `given` as the only one."""
        new = [t for t in trials if t.state == TrialState.COMPLETE and t.number not in self._read]
        if self._add(new):
            self._branches = self._found()
        if self._branches:
            return self._branches
        if begun := [t for t in trials if t.distributions]:
            shown = Shown()
            shown._add(begun)
            return shown._found()
        return [Branch(dict(given), {})] if given else []

    def _add(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the trials had anything new: a branch, a range, a discrete value."""
        news = False
        for trial in trials:
            self._read.add(trial.number)
            names = frozenset(trial.distributions)
            news |= bool(names) and names not in self._values
            values = self._values.setdefault(names, {}) if names else {}
            for name, distribution in trial.distributions.items():
                if self._latest.get(name) != distribution:
                    self._latest[name] = distribution
                    news = True
                if grid(distribution) is None:
                    continue
                seen = values.setdefault(name, set())
                if (value := hashable(trial.params[name])) not in seen:
                    seen.add(value)
                    news = True
        return news

    def _found(self) -> list[Branch]:
        switches = self._switches()
        found = [Branch({name: self._latest[name] for name in sorted(names)}, own) for names, own in switches.items()]
        return found + _untried(found, self._latest)

    def _switches(self) -> dict[frozenset[str], dict[str, tuple[Any, ...]]]:
        """By branch its switches and their values: as few parameters as tell all pairs of branches apart that can be.

        Few trials of two branches often differ in other parameters, too, by chance: such a parameter kept to its values
        would never be seen to overlap.
        """
        found: dict[frozenset[str], dict[str, tuple[Any, ...]]] = {names: {} for names in self._values}
        if len(found) > _MOST_TOLD_APART:
            return found
        apart: dict[str, set[tuple[frozenset[str], frozenset[str]]]] = {name: set() for name in self._latest}
        for (one, mine), (other, theirs) in itertools.combinations(self._values.items(), 2):
            for name in mine.keys() & theirs.keys():
                if not mine[name] & theirs[name]:
                    apart[name].add((one, other))
        # of equally telling ones that with the fewest values, then that which trials ask for first
        variety = {name: len(set().union(*(v.get(name, ()) for v in self._values.values()))) for name in apart}
        while apart and (best := max(apart, key=lambda name: (len(apart[name]), -variety[name]))) and apart[best]:
            pairs = set(apart[best])
            for names in {names for pair in pairs for names in pair}:
                seen, all_ = self._values[names][best], grid(self._latest[best]) or ()
                if own := tuple(value for value in all_ if hashable(value) in seen):
                    found[names][best] = own
            for held in apart.values():
                held -= pairs
        return found


def space_of(known: Sequence[Branch], rows: Sequence[Params]) -> dict[str, BaseDistribution]:
    """A distribution for every parameter: the trials', and for parameters no trial has had what the rows span."""
    space: dict[str, BaseDistribution] = {}
    for branch in known:
        space.update(branch.space)
    for name in sorted({name for row in rows for name in row} - set(space)):
        values = [row[name] for row in rows if name in row]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            space[name] = FloatDistribution(float(min(values)), float(max(values)))
        else:
            space[name] = CategoricalDistribution(sorted(set(values), key=repr))
    return space


def _untried(found: Sequence[Branch], latest: Mapping[str, BaseDistribution]) -> list[Branch]:
    """A branch for switch values that no trial has had: what they lead to is not known, the common part is."""
    if not found:
        return []
    rest = []
    common = set.intersection(*(set(b.space) for b in found))
    for name in sorted({n for b in found for n in b.switches} & common):
        tried = {hashable(v) for b in found for v in b.switches.get(name, grid(latest[name]) or ())}
        values = tuple(v for v in grid(latest[name]) or () if hashable(v) not in tried)
        if values:
            rest.append(Branch({n: latest[n] for n in sorted(common)}, {name: values}))
    return rest


def vary(
    known: Sequence[Branch], parents: Sequence[Params], n: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """n candidates, each one of the parents with something changed."""
    homes = [home(known, parent) or known[int(rng.integers(len(known)))] for parent in parents]
    points = [branch.fitted(parent, rng) for branch, parent in zip(homes, parents, strict=True)]
    for i in range(n):
        yield homes[i % len(points)].varied(points[i % len(points)], rng)


def home(known: Sequence[Branch], params: Params) -> Branch | None:
    """The branch a parameter set belongs to."""
    return next((b for b in known if set(b.space) == set(params)
                 and all(params[n] in values for n, values in b.switches.items())), None)  # fmt: skip
