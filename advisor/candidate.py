"""One point of the search space, with a stable id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specs.chip import Precision
from specs.errors import SpecError

Value = int | float | str

PRECISION: dict[str, Precision] = {
    "fp32": "fp32", "fp16": "fp16", "mixed": "int8", "int8-qat": "int8", "int8": "int8", "int8-pt2e": "int8",
}  # fmt: skip
"""Numeric precision of every quantization recipe; of `mixed`, what most of it is computed in."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Architecture, input shape (the task's, without batch), pruning ratio per stage, quantization recipe.

    `structure` is the id of the network as trained, then as pruned: two spellings of one network are one candidate.
    """

    architecture: str
    params: tuple[tuple[str, Value], ...]
    shape: tuple[int, ...]
    pruning: tuple[float, ...]
    quantization: str
    structure: str

    @property
    def id(self) -> str:
        text = json.dumps([self.structure, self.quantization])
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def precision(self) -> Precision:
        return PRECISION[self.quantization]

    def to_dict(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture,
            "params": dict(self.params),
            "shape": list(self.shape),
            "pruning": list(self.pruning),
            "quantization": self.quantization,
            "structure": self.structure,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Candidate:
        """What `to_dict` gave.

        Raises:
            SpecError: keys are missing or of the wrong kind (a damaged ledger or manifest).
        """
        try:
            return cls(
                str(data["architecture"]),
                tuple(sorted(dict(data["params"]).items())),
                tuple(int(n) for n in data["shape"]),
                tuple(float(r) for r in data["pruning"]),
                str(data["quantization"]),
                str(data["structure"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError("not a candidate", seen=data) from error

    def describe(self) -> str:
        """A few words for tables: `dscnn width=32 depth=4 · pruned 25 % · int8`."""
        words = [self.architecture, *(f"{key}={value}" for key, value in self.params)]
        if any(self.pruning):
            words.append("· pruned " + "/".join(f"{ratio * 100:.0f}" for ratio in self.pruning) + " %")
        return " ".join([*words, "·", self.quantization])
