"""The search: asks for candidates, spends training and measurements on them, records everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.search.known_cost import KnownCostSampler

__all__ = ["KnownCostSampler"]


def __getattr__(name: str) -> Any:
    # Optuna takes half a second to import: those who only read a run need not wait for it
    if name == "KnownCostSampler":
        from advisor.search.known_cost import KnownCostSampler

        return KnownCostSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
