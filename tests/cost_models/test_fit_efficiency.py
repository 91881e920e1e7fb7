"""The fit of cycles per operation: finds what made the numbers, and the carried figures can be made again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cost_models import efficiency
from cost_models import fit_efficiency as fit
from cost_models.extract import GROUPS, Fact, read_facts, write_facts

NETWORKS = {
    f"n{i}": {group: [int(v) for v in row] for group, row in zip(GROUPS, rows, strict=True)}
    for i, rows in enumerate(np.random.default_rng(0).integers(1000, 10_000_000, (12, 4, 5)))
}
CYCLES = (3.0, 5.0, 2.0, 20.0, 4.0, 1000.0)


def made_facts() -> list[Fact]:
    facts = []
    for board, core, scale in (("a", "cortex-m4", 1.0), ("b", "cortex-m4", 1.05), ("c", "cortex-m7", 0.5)):
        for name, features in NETWORKS.items():
            cycles = scale * float(np.dot(fit.amounts_of(features, "int8"), CYCLES))
            facts.append(Fact("tflm", core, board, 100, 1, "int8", name, cycles / 100e3, "made"))
    return facts


def test_the_fit_finds_what_made_the_numbers() -> None:
    facts = made_facts()
    problem = fit.problem_of(facts, NETWORKS)
    errors = fit.predict(problem, fit.solve(problem)) - problem.observed
    assert np.abs(errors).max() < 0.06  # boards of one core differ by 5 %, which no model of cores can know


def test_facts_survive_the_file(tmp_path: Path) -> None:
    facts = made_facts()
    write_facts(tmp_path / "facts.csv", facts)
    assert read_facts(tmp_path / "facts.csv") == facts


@pytest.mark.slow
def test_carried_figures_follow_from_carried_facts(tmp_path: Path) -> None:
    fit.refit(None, None, tmp_path)
    made = json.loads((tmp_path / "efficiency.json").read_text())
    carried = json.loads((fit.HERE / "efficiency.json").read_text())
    assert made["counts"] == carried["counts"]
    assert set(made["effects"]) == set(carried["effects"])
    for name, row in carried["effects"].items():
        assert made["effects"][name] == pytest.approx(row, abs=2e-3)


@pytest.mark.parametrize(
    ("core", "kind"),
    [("cortex-m4", "mcu-dsp"), ("cortex-a7", "a-inorder"), ("cortex-a72", "a-outoforder"),
     ("cortex-a710", "a-outoforder"),
     ("xtensa-lx7-pie", "mcu-esp"), ("intel-gracemont", "x86"), ("ethos-u55-128", "npu"),
     ("cortex-m0plus", "mcu-scalar"),
     ("cortex-a55", "a-inorder"), ("cortex-a5", "a-inorder"), ("cortex-m55", "mcu-vector")],
)  # fmt: skip
def test_class_of_a_core(core: str, kind: str) -> None:
    assert efficiency.core_class(core) == kind


def test_intervals_widen_as_less_is_known() -> None:
    known = efficiency.load()
    same = known.cycles("tflm", "cortex-m4", "mcu-dsp", "int8")
    similar = known.cycles("tflm", "cortex-m33", "mcu-dsp", "int8")
    nothing = known.cycles("no-such-runtime", "no-such-core", "mcu-dsp", "int8")
    assert same.known
    assert similar.known
    assert not nothing.known
    assert same.factor <= similar.factor <= nothing.factor
