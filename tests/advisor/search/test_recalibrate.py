"""The calibration loop against a replayed board whose truth is known, and against this machine."""

import json
from dataclasses import replace

import numpy as np
import pytest
from advisor_samples import candidate
from recalibration_samples import TRUTH, board, loop, of, truth_ms

from advisor import cli
from advisor.changes import changed, why_lost
from advisor.devices.address import open_device
from advisor.front import front
from advisor.measure.protocol import MeasurePlan
from advisor.relax import changed_spec
from advisor.run import open_run
from advisor.search.recalibrate import Recalibrator
from specs.errors import SpecError
from specs.spec import parse_spec


def test_what_was_measured_corrects_what_was_not(searched, tmp_path):
    run, _ = searched
    before = {e.id: e.metric("latency_ms").value for e in run.evaluations()}
    made = loop(searched, tmp_path).step(1.0)
    assert made.id == 1
    assert made.measurements == len(made.measured) == 6  # a quarter of the budget is kept for the front at the end
    assert made.error_before == pytest.approx(1 - 1 / TRUTH, abs=0.03)
    assert made.error_after < 0.06
    for row in run.evaluations():
        if row.status == "done" and row.id not in made.measured:
            assert row.metric("latency_ms").value == pytest.approx(truth_ms(run, row), rel=0.1)
            assert row.metric("latency_ms").source == "predicted"
        if row.id in made.measured:
            assert row.metric("latency_ms").source == "measured"
            assert row.metric("predicted_latency_ms").value == before[row.id]
    skipped = next(e for e in run.evaluations() if e.status == "skipped")
    assert skipped.metric("latency_ms").value == pytest.approx(TRUTH * before[skipped.id], rel=0.15)
    assert {e.id: e.metric("latency_ms").value for e in run.ledger.evaluations(at=0)} == before


def test_a_limit_on_p95_is_held_against_p95_once_measurements_tell_it(searched, tmp_path):
    run, pricer = searched
    assert run.spec.limit("latency").stat == "p95"
    engine = loop(searched, tmp_path, tail=1.5)
    made = engine.step(1.0)
    assert made.error_after < 0.06  # of medians, which is what cost models predict
    predicted = [row for row in run.evaluations() if row.artifact and row.id not in made.measured]
    assert predicted
    for row in predicted:
        assert row.metric("latency_p50_ms").value == pytest.approx(truth_ms(run, row), rel=0.1)
        assert row.metric("latency_ms").value == pytest.approx(1.5 * row.metric("latency_p50_ms").value)
        assert row.metric("latency_ms").source == row.metric("latency_p50_ms").source == "predicted"
    target, fresh = run.spec.targets[0], candidate(36, "fp32")
    before, now = (some.before_training(fresh, target) for some in (pricer, engine.pricer_now))
    assert now["latency_ms"].value / before["latency_ms"].value == pytest.approx(1.5 * TRUTH, rel=0.1)
    for row in engine.finish()[-1].measured:
        measured = next(e for e in run.evaluations() if e.id == row)
        assert measured.metric("latency_ms").source == measured.metric("latency_p50_ms").source == "measured"


def test_the_search_prices_with_the_correction(searched, tmp_path):
    run, pricer = searched
    engine = loop(searched, tmp_path)
    target, fresh = run.spec.targets[0], candidate(36, "fp32")
    assert engine.pricer_now.before_training(fresh, target) == pricer.before_training(fresh, target)
    engine.step(1.0)
    ratio = (engine.pricer_now.before_training(fresh, target)["latency_ms"].value
             / pricer.before_training(fresh, target)["latency_ms"].value)  # fmt: skip
    assert ratio == pytest.approx(TRUTH, rel=0.1)


def test_at_the_end_every_member_of_the_front_is_measured(searched, tmp_path, capsys):
    run, _ = searched
    engine = loop(searched, tmp_path, budget=1)
    made = engine.finish()
    assert made
    assert {r.evaluation.metric("latency_ms").source for r in run.front().members} == {"measured"}
    assert made[-1].compared >= 3
    assert made[-1].error_after < 0.06 < made[-1].error_before
    assert engine.finish() == []
    assert cli.main(["front", str(run.folder)]) == 0
    said = capsys.readouterr().out
    assert "calibration 1 of host:onnxruntime" in said
    assert "since before the first calibration" in said


def test_a_correction_moves_candidates_off_the_front(searched, tmp_path):
    run, _ = searched
    slowest = max(truth_ms(run, e) for e in run.evaluations() if e.artifact)
    tight = changed_spec(run.spec, [f"latency.max={slowest * 0.9:.5g} ms"])
    pricer = replace(searched[1], spec=tight)
    Recalibrator(pricer, tight.targets[0], board(run, tmp_path), run.ledger, run.folder, 8).finish()
    found = run.front(tight)
    assert found.members
    assert all(r.evaluation.metric("latency_ms").value <= slowest * 0.9 for r in found.members)
    changes = changed(front(tight, run.ledger.columns(at=0)), found)
    assert changes.gained
    assert {why_lost(row) for row in changes.lost} <= {"misses latency"}
    assert all(m.after.value == pytest.approx(TRUTH * m.before.value, rel=0.1) for m in changes.moved)
    assert {m.metric for m in changes.moved} == {"latency_ms"}


def test_a_resumed_run_goes_on_with_the_same_correction(searched, tmp_path):
    run, pricer = searched
    engine = loop(searched, tmp_path)
    engine.step(1.0)
    again = Recalibrator(pricer, run.spec.targets[0], board(run, tmp_path), open_run(run.folder).ledger, run.folder, 8)
    target, fresh = run.spec.targets[0], candidate(36, "fp32")
    assert again.taken == engine.taken == 6
    assert again.pricer_now.before_training(fresh, target) == engine.pricer_now.before_training(fresh, target)
    assert again.step(1.0) is None


def test_a_measurement_that_fails_is_data(searched, tmp_path):
    run, _ = searched
    broken = candidate(48, "fp32").id
    made = loop(searched, tmp_path, skip={broken}).finish()
    row = of(run, 48)
    assert "no recording" in row.details["measurement_error"]
    assert row.metric("latency_ms").source == "predicted"
    assert broken in made[0].measured
    assert made[0].measurements == len(made[0].measured) - 1


def test_a_machine_that_other_work_slows_is_compared_with_itself(searched, tmp_path):
    made = loop(searched, tmp_path, budget=8, slowed=lambda i: 1.5 if i % 2 else 1.0).finish()
    assert made[-1].error_after < 0.06


def test_no_measurements_are_taken_where_the_spec_allows_none(searched, tmp_path):
    engine = loop(searched, tmp_path, budget=0)
    assert engine.step(1.0) is None
    assert engine.finish() == []
    assert searched[0].ledger.measurements() == []


def test_energy_follows_the_measured_latency(searched, tmp_path):
    run, pricer = searched
    spec = parse_spec(run.spec.to_yaml().replace("host:onnxruntime", "raspberry-pi-4:onnxruntime"))
    target = spec.targets[0]
    row = of(run, 16)
    costs = replace(pricer, spec=spec).before_training(row.candidate, target)
    assert costs["energy_mj"].value
    run.ledger.add(replace(row, target=target.id, metrics={**row.metrics, **costs}))
    path = tmp_path / "pi.jsonl"
    path.write_text(json.dumps({"candidate": row.id, "wall_ms": [2 * costs["latency_ms"].value] * 9}) + "\n")
    engine = Recalibrator(replace(pricer, spec=spec), target, open_device(f"replay:{path}", target), run.ledger,
                          run.folder, 4)  # fmt: skip
    found = engine.measure(next(e for e in run.evaluations() if e.target == target.id))
    assert found.metric("energy_mj").value == pytest.approx(2 * costs["energy_mj"].value, rel=0.02)


def test_a_ledger_that_points_out_of_its_run_is_refused(searched, tmp_path):
    run, _ = searched
    with pytest.raises(SpecError, match="outside its run"):
        loop(searched, tmp_path).measure(replace(of(run, 16), artifact="../../secret.onnx"))


def test_this_machine_is_measured_and_corrects_its_model(searched):
    run, pricer = searched
    device = open_device("local", run.spec.targets[0])
    engine = Recalibrator(pricer, run.spec.targets[0], device, run.ledger, run.folder, 4)
    made = engine.step(1.0, MeasurePlan(seconds=0.1, warmup_s=0.05, processes=1, max_processes=1))
    assert made.measurements == 3
    assert np.isfinite([made.error_before, made.error_after]).all()
    assert "onnxruntime" in made.versions
    rows = [e for e in run.evaluations() if e.id in made.measured]
    assert {e.metric("latency_ms").source for e in rows} == {"measured"}
    others = [e for e in run.evaluations() if e.status == "done" and e.id not in made.measured]
    assert all(e.metric("latency_ms").n == 3 for e in others)
