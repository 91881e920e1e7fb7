from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.feasibility.assess import Feasibility, assess
from advisor.tasks.peek import peek
from specs.spec import Spec, parse_spec


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., Spec]:
    """A spec of the builtin digits: spec(limits="latency: {max: 1 ms}", targets="stm32h743:tflm", more="…")."""

    def make(limits: str = "", targets: str = "stm32h743:tflm", more: str = "", task: str = "") -> Spec:
        task = task or "{kind: image-classification, data: digits}"
        text = f"schema: 1\nname: t\ntask: {task}\ntargets: [{targets}]\nlimits: {{{limits}}}\n{more}\n"
        return parse_spec(text, folder=tmp_path)

    return make


@pytest.fixture
def ask(spec: Callable[..., Spec]) -> Callable[..., Feasibility]:
    """The answer to such a spec."""

    def run(limits: str = "", targets: str = "stm32h743:tflm", more: str = "", task: str = "") -> Feasibility:
        asked = spec(limits, targets, more, task)
        return assess(asked, peek(asked))

    return run
