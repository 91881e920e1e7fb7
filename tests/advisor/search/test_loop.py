"""The loop alone: who climbs, what is recorded, what an interruption costs; with workers that answer at once."""

from collections import Counter

import pytest
from instant_search import SPEC, TRIALS, InstantPool, names, search, tried

from advisor.search.ladder import rung_of, spent_s
from advisor.search.loop import BATCH
from cost_models.measurement import Fingerprint, Measurement
from specs.spec import parse_spec


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    pool = InstantPool(2)
    return search(tmp_path_factory.mktemp("loop") / "run", pool), pool


def test_one_in_three_or_four_is_trained_in_full_and_all_of_those_are_exported(climbed):
    ledger, _ = climbed
    rungs = Counter(rung_of(row) for row in ledger.history())
    assert rungs["cheap"] == TRIALS
    assert TRIALS / 4 <= rungs["trained"] <= TRIALS / 3 + 1
    assert rungs["artifact"] == rungs["trained"]
    for row in ledger.evaluations():
        if rung_of(row) == "artifact":
            path = [rung_of(r) for r in ledger.history() if r.id == row.id and rung_of(r) != "short"]
            assert path == ["cheap", "trained", "artifact"]


def test_the_first_answers_are_short_trainings_of_the_better_half(climbed):
    _, pool = climbed
    kinds = [request.fidelity for request in pool.begun]
    assert kinds.count("short") == kinds[: kinds.index("full")].count("short") == 8
    assert kinds[: kinds.index("full")].count("cheap") <= 20


def test_the_best_of_those_tried_are_among_the_exported(climbed):
    ledger, _ = climbed
    rows = ledger.history()
    best = max((row for row in rows if rung_of(row) == "cheap"), key=lambda row: row.metric("rank_score").value)
    assert best.id in {row.id for row in rows if rung_of(row) == "artifact"}


def test_what_costs_rule_out_is_recorded_as_predicted_and_never_begun(climbed):
    ledger, pool = climbed
    skipped = [row for row in ledger.evaluations() if row.status == "skipped"]
    assert skipped
    assert not {row.id for row in skipped} & {request.candidate.id for request in pool.begun}
    for row in skipped:
        assert row.fidelity == "none"
        assert row.metric("flash_bytes").source in ("predicted", "computed", "assumed")
        assert "flash cannot be met" in row.reason


def test_full_trainings_follow_the_best_trained_so_far_where_the_spec_says_so(climbed):
    _, pool = climbed
    quality = {r.candidate.id: int(r.candidate.id, 16) % 400 for r in pool.begun}
    full = [r for r in pool.begun if r.fidelity == "full" and not r.runtimes]
    assert full[0].teacher is None
    taught = [r for r in full if r.teacher]
    assert taught
    for request in taught:
        assert quality[request.teacher[0].id] > quality[request.candidate.id]
    assert not any(r.teacher for r in pool.begun if r.fidelity == "cheap")


def test_seconds_of_every_rung_are_in_the_ledger(climbed):
    ledger, pool = climbed
    spent = spent_s(ledger.history())
    exported = Counter(request.fidelity for request in pool.begun if request.runtimes)
    assert spent["costs"] > 0
    assert spent["cheap"] == TRIALS
    assert spent["trained"] == 15 * exported["full"]
    assert spent["artifact"] == 2 * (exported["full"] + exported["short"])


@pytest.mark.parametrize("count", [2, 5])
def test_no_worker_waits_while_there_are_candidates_to_try(tmp_path, count):
    pool = InstantPool(count)
    search(tmp_path / "run", pool)
    # the last few may have to wait for a network that is in training for another quantization
    assert min(pool.idle) > TRIALS + len([r for r in pool.begun if r.fidelity == "short"]) - BATCH


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (4, 1)])
def test_an_interrupted_run_goes_on_with_any_number_of_workers(tmp_path, before, after):
    first, second = InstantPool(before, stop_after=30), InstantPool(after)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", first)
    ledger = search(tmp_path / "run", second)
    assert len(set(tried(ledger))) == len(tried(ledger)) == TRIALS
    # what was at work when the run was interrupted is all that is done twice
    assert sum((names(first) & names(second)).values()) <= before


def test_one_worker_proposes_the_same_again_also_after_an_interruption(tmp_path):
    whole = tried(search(tmp_path / "whole", InstantPool(1)))
    assert tried(search(tmp_path / "again", InstantPool(1))) == whole
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", InstantPool(1, stop_after=21))
    assert tried(search(tmp_path / "cut", InstantPool(1))) == whole


def test_a_run_too_short_for_a_full_training_still_answers(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", InstantPool(1, stop_after=3))
    ledger = search(tmp_path / "run", InstantPool(1), elapsed=599.0)
    (done,) = [row for row in ledger.evaluations() if row.status == "done"]
    scores = {row.id: row.metric("rank_score").value for row in ledger.history() if rung_of(row) == "cheap"}
    assert done.fidelity == "short"
    assert scores[done.id] == max(scores.values())
    assert done.artifact


def test_what_a_full_training_is_too_long_for_is_trained_shortly_and_exported(tmp_path):
    """With ten seconds left, where a full training takes fifteen, the rest of the best is still an answer."""
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", InstantPool(1, stop_after=10))
    late = InstantPool(1)
    ledger = search(tmp_path / "run", late, elapsed=590.0)
    assert {request.fidelity for request in late.begun} == {"short"}
    rows = ledger.history()
    brief = {row.id: row.metric("rank_score").value for row in rows if rung_of(row) == "cheap"}
    done = {row.id: row.fidelity for row in ledger.evaluations() if row.status == "done"}
    assert len(done) == 4 < len(brief)
    assert max(brief, key=brief.get) in done


@pytest.mark.parametrize(("elapsed", "tried_on"), [(460.0, True), (590.0, False)])
def test_time_that_nothing_else_needs_goes_to_new_candidates(tmp_path, elapsed, tried_on):
    """After 450 of 600 seconds none is begun before others are trained, and none that could not be: it takes 16."""
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", InstantPool(1, stop_after=10))
    late = InstantPool(1)
    ledger = search(tmp_path / "run", late, elapsed=elapsed)
    kinds = [request.fidelity for request in late.begun]
    assert kinds[0] != "cheap"
    assert ("cheap" in kinds) is tried_on
    assert (len(tried(ledger)) == TRIALS) is tried_on


def test_where_accuracy_is_all_a_short_training_does_not_stand_beside_full_ones(tmp_path):
    spec = parse_spec(SPEC.replace("[accuracy, latency]", "[accuracy]"))
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", InstantPool(1, stop_after=10), spec)
    ledger = search(tmp_path / "run", InstantPool(1), spec, elapsed=590.0)
    assert {row.fidelity for row in ledger.evaluations() if row.status == "done"} == {"full"}


def test_few_trials_are_all_exported(tmp_path):
    ledger = search(tmp_path / "run", InstantPool(2), parse_spec(SPEC.replace(f"trials: {TRIALS}", "trials: 4")))
    assert len([row for row in ledger.evaluations() if row.status == "done"]) == 4
    assert "cheap" not in {row.fidelity for row in ledger.history()}


def test_a_rung_that_fails_costs_its_candidates_and_not_the_run(tmp_path):
    ledger = search(tmp_path / "run", InstantPool(2, broken="full"))
    rows = ledger.evaluations()
    failed = [row for row in rows if row.status == "failed"]
    assert failed
    assert {row.reason for row in failed} == {"diverged"}
    # promising ones that did not fail are exported after a short training
    assert {row.fidelity for row in rows if row.status == "done"} == {"short"}


@pytest.mark.parametrize(
    ("flash", "told"),
    [("1 MiB", "every candidate was tried"), ("20 KiB", "no further candidate can meet the hard limits")],
)
def test_a_space_that_ends_says_why(tmp_path, flash, told):
    text = SPEC.replace("60 KiB", flash).replace(f"trials: {TRIALS}", "trials: 1000, architectures: [resnet]")
    spec = parse_spec(text.replace("[int8, fp32]", "[int8]").replace("[0, 0.5]", "[0]"))
    assert search(tmp_path / "run", InstantPool(1), spec).facts()["ended_by"] == f"the space: {told}"


def test_targets_share_the_budget(tmp_path):
    spec = parse_spec(SPEC.replace("[stm32h743:tflm]", "[stm32h743:tflm, stm32f746:tflm]"))
    ledger = search(tmp_path / "run", InstantPool(2), spec)
    counts = Counter(row.target for row in ledger.history() if rung_of(row) == "cheap")
    assert sum(counts.values()) == TRIALS
    assert min(counts.values()) >= TRIALS / 2 - 4
    assert {row.target for row in ledger.evaluations() if row.status == "done"} == set(counts)


class EvenDevice:
    """A device that takes a millisecond for everything."""

    def run(self, artifact, plan):
        return Measurement("host:onnxruntime", artifact.sha256, wall_ms=(1.0,) * 20)

    def fingerprint(self):
        return Fingerprint("host", "a CPU", 2, None, "", "", {})


def test_candidates_are_measured_before_they_are_trained_and_no_row_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("advisor.search.loop.open_device", lambda *_: EvenDevice())
    text = SPEC.replace("stm32h743:tflm", '"host:onnxruntime"').replace("seed: 3", "seed: 3, measurements: 24")
    pool = InstantPool(2)
    # as if after minutes: measuring may take a share of them only
    ledger = search(tmp_path / "run", pool, parse_spec(text), elapsed=100.0)
    untrained = [request.candidate.id for request in pool.begun if request.fidelity == "none"]
    assert len(untrained) == len(set(untrained))
    taken = {name for name, _, data in ledger.measurements() if data.get("untrained")}
    assert taken <= set(untrained)  # of the others a trained file came first
    assert len(taken) >= 8
    rows = {row.id: row for row in ledger.evaluations()}
    assert {rows[name].status for name in taken} <= {"ranked", "done"}
    for row in rows.values():
        measured = row.metrics.get("latency_ms") and row.metric("latency_ms").source == "measured"
        assert bool(measured) == ("measured" in row.details)
        assert row.status != "failed"
    # what is left of the budget is for the front, all of which is measured at the end
    assert len(taken) <= 18
    assert {"device", "untrained"} <= set(spent_s(ledger.history()))
