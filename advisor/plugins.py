"""Every plug-in of the product in literal tables, joined by what installed packages add through entry points."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from specs.errors import SpecError, nearest

BUILTIN: dict[str, dict[str, str]] = {
    "architectures": {
        "dscnn": "advisor.space.families:DSCNN",
        "mobilenet": "advisor.space.families:MobileNet",
        "resnet": "advisor.space.families:ResNet",
        "tcn": "advisor.space.families:TCN",
    },
    "runtimes": {
        "onnxruntime": "advisor.runtimes.onnxruntime:OnnxRuntime",
        "litert": "advisor.runtimes.litert:LiteRt",
        "tflm": "advisor.runtimes.tflm:Tflm",
    },
    "devices": {"local": "advisor.devices.local:LocalDevice", "replay": "advisor.devices.replay:ReplayDevice"},
    "cost_models": {
        "layered": "cost_models.layered:LayeredModel",
        "analytic": "cost_models.analytic:AnalyticModel",
    },
}


@cache
def names(kind: str) -> dict[str, str]:
    """`name → module:attribute` of a kind (`architectures`, `runtimes`, `devices`, `cost_models`).

    Raises:
        SpecError: two plug-ins claim one name; both are named.
    """
    found = dict(BUILTIN[kind])
    for entry in entry_points(group=f"advisor.{kind}"):
        if entry.name in found and found[entry.name] != entry.value:
            raise SpecError(
                f"two plug-ins claim the name '{entry.name}' of {kind}", seen=f"{found[entry.name]} and {entry.value}"
            )
        found[entry.name] = entry.value
    return found


def load(kind: str, name: str) -> Any:
    """The class registered as `name`, imported now."""
    table = names(kind)
    if name not in table:
        raise SpecError(
            f"unknown {kind[:-1].replace('_', ' ')}", seen=name, allowed=", ".join(table), next=nearest(name, table)
        )
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
