"""Fixtures that several tests of the engine share."""

from pathlib import Path

import pytest
from advisor_samples import DIGITS, evaluation

from advisor.run import create_run
from specs.spec import parse_spec


@pytest.fixture
def spec():
    return parse_spec(DIGITS)


@pytest.fixture
def run(spec, tmp_path: Path):
    """A run with five evaluations, two of them on the front, one skipped, one failed."""
    made = create_run(spec, tmp_path / "run", {"data_fingerprint": "x"})
    for row in (
        evaluation(8, 0.90, 1.0),
        evaluation(16, 0.95, 2.0),
        evaluation(24, 0.94, 3.0),
        evaluation(32, 0.99, 9.0),
        evaluation(40, status="skipped", fidelity="none", reason="flash cannot be met"),
        evaluation(48, status="failed", reason="diverged"),
    ):
        made.ledger.add(row)
    return made
