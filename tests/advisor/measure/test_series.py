"""Timing beside a reference: what a disturbed machine adds is waited out, for a while."""

from __future__ import annotations

from itertools import cycle

import pytest

from advisor.measure import series
from advisor.measure.series import Reference


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A machine whose speed follows a list of factors, one a block of the reference; models take 5 times as long."""

    def at(factors):
        clock, speed = [0.0], cycle(factors)
        now = [next(speed)]

        def block(run, length_ns):
            clock[0] += length_ns / 1e9
            if run == "model":
                return 500.0 * now[0] ** 2  # whatever else runs there slows it more than the reference
            now[0] = next(speed)
            return 100.0 * now[0]

        monkeypatch.setattr(series, "_block", block)
        monkeypatch.setattr(series.time, "perf_counter", lambda: clock[0])
        return clock

    return at


def test_disturbed_blocks_are_left_out(machine):
    machine([1.0] * 6 + [1.4] * 12)
    blocks, calm = series._blocks("model", Reference("reference", 100.0), 0.1)
    assert {model / beside for model, beside in blocks} == {5.0}
    assert 0.1 < calm < 0.6


def test_waiting_has_an_end(machine):
    clock = machine([1.4])
    blocks, calm = series._blocks("model", Reference("reference", 100.0), 0.1)
    assert calm == 0
    assert len(blocks) >= series.MIN_BLOCKS
    assert clock[0] < 0.1 * series.PATIENCE + 0.05


def test_a_calm_machine_is_not_waited_for(machine):
    clock = machine([1.0])
    _, calm = series._blocks("model", Reference("reference", float("inf")), 0.1)
    assert calm == 1
    assert clock[0] < 0.15
