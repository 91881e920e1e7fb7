"""What a built model says of its layers' precision, for the exporters that can mix."""

from __future__ import annotations

from advisor.model import BuiltModel

FULL_INT8 = ("int8", "int8-qat")
"""Recipes exported alike: fine-tuning ends in the weights."""


def floating_layers(model: BuiltModel) -> frozenset[str]:
    """Layers that the `mixed` recipe keeps in float: those with `LAYER.bits` = 32 among the weights."""
    return frozenset(
        key.removesuffix(".bits") for key, value in model.weights.items() if key.endswith(".bits") and value == 32
    )
