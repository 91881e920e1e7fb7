"""One ONNX operator as the readers pass it on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Node:
    op: str
    """The operator's name; of a domain that no runtime brings along, `domain::name`."""
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    held: tuple[int, ...] = ()
    """How many numbers each of its attributes holds: support vectors, coefficients."""
