"""Measurements beside other work on the machine."""

from dataclasses import replace

import pytest
from recalibration_samples import board, of, truth_ms

from advisor.search.recalibrate import Recalibrator


def busy(run, tmp_path, share=0.7, slower=1.5):
    """A board on which other work slows every other candidate, but not the reference, for a share of its moments."""
    device = board(run, tmp_path)
    fresh = device.run

    def disturbed(artifact, plan):
        found, odd = fresh(artifact, plan), artifact.size_bytes // 100 % 2
        slow = tuple(ms * (slower if odd and i >= (1 - share) * 20 else 1) for i, ms in enumerate(found.wall_ms))
        return replace(found, wall_ms=slow, reference_ms=(1.0,) * 9)

    device.run = disturbed
    return device


def test_work_that_slows_some_moments_does_not_mislead_the_correction(searched, tmp_path):
    run, pricer = searched
    engine = Recalibrator(pricer, run.spec.targets[0], busy(run, tmp_path), run.ledger, run.folder, 8)
    made = engine.finish()
    assert made[-1].error_after < 0.06


def test_a_disturbed_measurement_is_repeated_and_the_quickest_kept(searched, tmp_path):
    run, pricer = searched
    device, calls = board(run, tmp_path), []
    fresh = device.run

    def at_first_disturbed(artifact, plan):
        calls.append(artifact.path)
        found = fresh(artifact, plan)
        slow = 1.5 if len(calls) == 1 else 1.0
        return replace(found, wall_ms=tuple(ms * (slow if i > 5 else 1) for i, ms in enumerate(found.wall_ms)),
                       reference_ms=(1.0,) * 9)  # fmt: skip

    device.run = at_first_disturbed
    engine = Recalibrator(pricer, run.spec.targets[0], device, run.ledger, run.folder, 8)
    row = engine.measure(of(run, 16))
    assert len(calls) == 2
    assert row.metric("latency_p50_ms").value == pytest.approx(truth_ms(run, row))
