"""The same question with other limits, answered from the ledger: nothing is searched, nothing is written.

Also what would help where nothing is feasible: every way out is verified by judging all evaluations again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from advisor.changes import Changed, changed
from advisor.columns import Columns, Floats, figures_of, judge, reachable
from advisor.front import Front, front
from advisor.picks import text_of
from specs.errors import SpecError, nearest
from specs.limits import LIMIT_DIMENSION, LIMIT_KEYS, LIMIT_METRIC, limit_dict
from specs.reading import parse_yaml
from specs.spec import Spec, from_dict

_WHERE = "--limit"
_ANSWERED = ("max", "min", "soft", "reserved", "scope")
"""Keys of limits that only change how known figures are judged; the others change what was measured or computed."""
_FIGURE_OF = {"latency": {"stat": "p50"}}
"""What the figure of a limit is where the spec sets none, as searches record it."""


@dataclass(frozen=True)
class Change:
    """One key of one limit, as a spec has it; `before` is empty where there was none."""

    limit: str
    key: str
    before: str
    after: str

    @property
    def text(self) -> str:
        """`latency.max to 61 ms`."""
        return f"{self.limit}.{self.key} to {self.after}"

    @property
    def option(self) -> str:
        """The argument of `advisor relax` that makes it."""
        return f"--limit {self.limit}.{self.key}={self.after.replace(' ', '')}"

    def to_dict(self) -> dict[str, str]:
        return {"limit": self.limit, "key": self.key, "before": self.before, "after": self.after}


@dataclass(frozen=True)
class WayOut:
    """Changes of limits that together make `feasible` of the candidates in the ledger feasible."""

    changes: tuple[Change, ...]
    feasible: int

    @property
    def text(self) -> str:
        what = " with ".join(change.text for change in self.changes)
        noun = "candidate" if self.feasible == 1 else "candidates"
        return f"{what} {'makes' if len(self.changes) == 1 else 'make'} {self.feasible} {noun} feasible"

    @property
    def options(self) -> str:
        return " ".join(change.option for change in self.changes)

    def to_dict(self) -> dict[str, Any]:
        return {"changes": [change.to_dict() for change in self.changes], "feasible": self.feasible,
                "text": self.text, "options": self.options}  # fmt: skip


@dataclass(frozen=True)
class Missed:
    """A hard limit and how many of the trained candidates miss it, or lack the figure it is held against."""

    limit: str
    missed: int
    unknown: int
    of: int
    nearest: str
    """The nearest figure against the bound, in words."""

    @property
    def text(self) -> str:
        words = [f"missed by {self.missed} of {self.of}"] if self.missed else []
        words += [f"not known of {self.unknown} of {self.of}"] if self.unknown else []
        return f"{self.limit}: {', '.join(words)}{f' ({self.nearest})' if self.nearest else ''}"

    def to_dict(self) -> dict[str, Any]:
        return {"limit": self.limit, "missed": self.missed, "unknown": self.unknown, "of": self.of, "text": self.text}


@dataclass(frozen=True)
class Relaxed:
    """The front under other limits beside the one under the spec's own. `reachable`: of the candidates skipped before
    training, those that the changed limits would not refuse; what they reach, only a search tells."""

    spec: Spec
    changes: tuple[Change, ...]
    before: Front
    after: Front
    changed: Changed
    reachable: int


def relax(spec: Spec, columns: Columns, texts: Sequence[str]) -> Relaxed:
    """The front with limits changed as `texts` say (`latency.max=60ms`).

    Raises:
        SpecError: not a limit, not a value, or a change the ledger cannot answer.
    """
    new = changed_spec(spec, texts)
    for limit in new.limits:
        if spec.limit(limit.name) is None and columns.metric(limit.metric.name).missing[columns.done].all():
            raise SpecError("this run recorded no figure for it", where=f"{_WHERE} {limit.name}", seen=limit.name,
                            next="add the limit to the spec and search again")  # fmt: skip
    before, after = front(spec, columns), front(new, columns)
    skipped = np.flatnonzero(np.array(columns.statuses, dtype=object) == "skipped")
    return Relaxed(new, _changes(spec, new), before, after, changed(before, after), reachable(new, columns, skipped))


def changed_spec(spec: Spec, texts: Sequence[str]) -> Spec:
    """The spec with limits changed; everything a spec's own limits are checked for is checked again.

    Raises:
        SpecError: with what was written, and the nearest that exists.
    """
    document = spec.to_dict()
    seen = set()
    for text in texts:
        name, key, value = _parsed(text)
        if (name, key) in seen:
            raise SpecError("given twice", where=_WHERE, seen=f"{name}.{key}", next="keep one of them")
        seen.add((name, key))
        limit = document["limits"].setdefault(name, dict(_FIGURE_OF.get(name, {})))
        limit[key] = parse_yaml(value, _WHERE)
    return from_dict(document, where=_WHERE, folder=spec.folder)


def ways_out(spec: Spec, columns: Columns) -> tuple[list[Missed], list[WayOut]]:
    """Why nothing is feasible: limits by how many candidates miss them, the binding one first; then single changes
    that help, the smallest first, or one joint change for the least-violating candidate where no single one does."""
    judged = judge(spec, columns)
    done = columns.done
    hard = [name for name, is_hard in zip(judged.limits, judged.hard, strict=True) if is_hard]
    margins = {name: judged.margins[done, judged.limits.index(name)] for name in hard}
    missed = [_missed(spec, name, margin) for name, margin in margins.items() if not (margin <= 0).all()]
    missed.sort(key=lambda found: (-found.missed, -found.unknown))
    movable = [limit.name for limit in spec.limits if not limit.soft]
    fixed = np.zeros(len(done), dtype=bool)
    for name, margin in margins.items():
        fixed |= np.isnan(margin) | ((margin > 0) if name not in movable else False)
    able = np.flatnonzero(~fixed)
    if not len(able) or not movable:
        return missed, []
    broken = np.array([margins[name][able] > 0 for name in movable])
    ways: list[tuple[float, WayOut]] = []
    for row, name in enumerate(movable):
        alone = able[broken[row] & (broken.sum(axis=0) == 1)]
        if len(alone):
            place = alone[np.argmin(margins[name][alone])]
            way = _verified(spec, columns, int(done[place]), [name])
            ways += [(float(margins[name][place]), way)] if way else []
    if not ways:
        place = able[np.argmin(judged.violation[done[able]])]
        names = [name for name in movable if margins[name][place] > 0]
        way = _verified(spec, columns, int(done[place]), names)
        ways += [(0.0, way)] if way else []
    return missed, [way for _, way in sorted(ways, key=lambda found: found[0])]


def ways_info(spec: Spec, columns: Columns) -> dict[str, Any]:
    """`ways_out` as `advisor front --json` shows it."""
    missed, ways = ways_out(spec, columns)
    return {"binding": missed[0].limit if missed else None, "missed": [found.to_dict() for found in missed],
            "ways_out": [way.to_dict() for way in ways]}  # fmt: skip


def _parsed(text: str) -> tuple[str, str, str]:
    left, equals, value = text.partition("=")
    name, dot, key = left.strip().partition(".")
    example = "write latency.max=60ms"
    if name not in LIMIT_METRIC:
        hint = nearest(name, LIMIT_METRIC) or example
        raise SpecError("unknown limit", where=_WHERE, seen=name, allowed=", ".join(LIMIT_METRIC), next=hint)
    keys = LIMIT_KEYS[name].split()
    answered = ", ".join(f"{name}.{known}" for known in keys if known in _ANSWERED)
    if not equals or not value.strip():
        raise SpecError("a limit and its value are needed", where=_WHERE, seen=text, next=f"write {name}.{keys[0]}=…")
    if not dot:
        key = keys[0]
    if key not in keys:
        # a bound on the side that this limit has none: what is meant is its bound
        hint = f"did you mean {name}.{keys[0]}?" if key in ("max", "min") else nearest(key, keys)
        raise SpecError("unknown key", where=_WHERE, seen=f"{name}.{key}", allowed=answered, next=hint)
    if key not in _ANSWERED:
        raise SpecError("the ledger cannot answer that: its figures were taken with the spec's own", where=_WHERE,
                        seen=f"{name}.{key}", allowed=answered,
                        next="change the spec and search again")  # fmt: skip
    return name, key, value.strip()


def _changes(old: Spec, new: Spec) -> tuple[Change, ...]:
    found = []
    for limit in new.limits:
        before = old.limit(limit.name)
        was, now = limit_dict(before) if before else {}, limit_dict(limit)
        found += [
            Change(limit.name, key, _shown(was.get(key)), _shown(now[key]))
            for key in now
            if now[key] != was.get(key) and key in _ANSWERED and (before or key in ("max", "min"))
        ]
    return tuple(found)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _missed(spec: Spec, name: str, margin: Floats) -> Missed:
    known = margin[~np.isnan(margin)]
    broken = known[known > 0]
    words = ""
    if len(broken):
        least = float(broken.min())
        share = spec.limit(name) is not None and LIMIT_DIMENSION[name] is None
        words = f"nearest by {least * 100:.2g} {'points' if share else '%'}"
    return Missed(name, len(broken), len(margin) - len(known), len(margin), words)


def _verified(spec: Spec, columns: Columns, place: int, names: Sequence[str]) -> WayOut | None:
    """The limits of `names` moved to what one candidate needs, counted by judging every candidate again."""
    changes, limits = [], {}
    for name in names:
        limit = spec.limit(name)
        assert limit is not None  # noqa: S101 - names come from the spec
        sense = limit.metric.sense
        need = float(figures_of(limit, spec, columns).at_risk(spec.feasible_probability, sense)[place])
        bound, text = _rounded(name, need, up=sense == "max")
        changes.append(Change(name, sense, text_of(limit.bound, limit.metric.unit), text))
        limits[name] = replace(limit, bound=bound)
    relaxed = replace(spec, limits=tuple(limits.get(limit.name, limit) for limit in spec.limits))
    judged = judge(relaxed, columns)
    count = int((judged.feasible[columns.done] == 1).sum())
    return WayOut(tuple(changes), count) if count else None


def _rounded(name: str, value: float, *, up: bool) -> tuple[float, str]:
    """A bound to three digits on the side that `value` meets: canonical number and text as a spec has it."""
    dimension = LIMIT_DIMENSION[name]
    if dimension is None:
        steps = math.ceil(value * 1000 - 1e-9) if up else math.floor(value * 1000 + 1e-9)
        share = min(1.0, max(0.0, steps / 1000))
        if (share < value) if up else (share > value):
            share = min(1.0, max(0.0, (steps + (1 if up else -1)) / 1000))
        return share, f"{share:g}"
    from advisor.feasibility.relax import rounded

    return rounded(value, dimension, up=up)
