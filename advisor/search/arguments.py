"""What a sampler is given, checked where it is made: a wrong argument is one line there, not a fault trials later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from numbers import Integral, Real
from typing import Any

from specs.errors import SpecError

_CALLS = {
    "features": "a function from parameters to numbers",
    "constraints": "a function from parameters to limits",
    "canonical": "a function from parameters to an id",
}


def check(**given: Any) -> None:
    """The arguments of `KnownCostSampler` by name.

    Raises:
        SpecError: naming the first that cannot be used, with what is allowed.
    """
    for index, value in _by_objective("known", given["known"], "functions from parameters to a value"):
        if not _answers(value):
            raise _wrong(f"known[{index}]", value, "a function from parameters to a value, or to (mean, deviation)")
    for index, value in _by_objective("floors", given["floors"], "worst values of any use"):
        if not _is_number(value):
            raise _wrong(f"floors[{index}]", value, "a number")
    for name, allowed in _CALLS.items():
        if given[name] is not None and not _answers(given[name]):
            raise _wrong(name, given[name], allowed)
    if given["seed"] is not None and (not _is_whole(given["seed"]) or given["seed"] < 0):
        raise _wrong("seed", given["seed"], "None or a whole number from 0")
    if not _is_number(given["risk"]) or not 0 < given["risk"] <= 1:
        raise SpecError("not a probability", where="risk", seen=given["risk"], allowed="above 0, up to 1")
    for name in ("n_startup_trials", "n_candidates"):
        if not _is_whole(given[name]) or given[name] < 1:
            raise _wrong(name, given[name], "a whole number from 1")
    candidates = given["candidates"]
    if candidates is not None and not callable(candidates):
        if not isinstance(candidates, Sized) or isinstance(candidates, str | Mapping):
            raise _wrong("candidates", candidates, "a list of parameter sets, or a function that makes some")
        if not len(candidates):
            raise SpecError("no candidate is given", where="candidates", seen=0, allowed="one or more")


def _by_objective(name: str, given: Any, what: str) -> list[tuple[int, Any]]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise _wrong(name, given, f"a mapping from objective index (0, 1, …) to {what}")
    for index in given:
        if not _is_whole(index) or index < 0:
            raise _wrong(name, index, f"objective indexes (0, 1, …) as keys of the {what}")
    return list(given.items())


def _answers(value: Any) -> bool:
    return callable(value) or callable(getattr(value, "many", None))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _wrong(where: str, seen: Any, allowed: str) -> SpecError:
    shown = seen if isinstance(seen, str | int | float) else repr(seen)[:60]
    return SpecError("KnownCostSampler cannot use this argument", where=where, seen=shown, allowed=allowed)
