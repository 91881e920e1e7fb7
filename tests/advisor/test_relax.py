"""The same question with other limits: answered from the ledger, nothing written, exit status as the verdict."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from advisor_samples import DIGITS, evaluation

from advisor import cli
from advisor.columns import columns_of
from advisor.front import front
from advisor.relax import changed_spec, relax, ways_out
from advisor.report.answers import answer_info
from advisor.report.front import front_text
from advisor.run import create_run
from cost_models.estimate import Estimate
from specs.errors import SpecError
from specs.spec import parse_spec


def contents(run):
    """Every file of a run but the memory that readers and the writer of its ledger share."""
    return {
        path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")
    }


def spec_with(limits, targets="[host:onnxruntime]"):
    head = DIGITS.split("limits:")[0].replace("[host:onnxruntime]", targets)
    return parse_spec(f"{head}limits: {{{limits}}}\n")


def test_a_wider_limit_lets_candidates_in_and_a_tighter_one_out(run):
    columns = run.ledger.columns()
    wider = relax(run.spec, columns, ["latency.max=10ms"])
    assert [r.evaluation.metric("accuracy").value for r in wider.changed.gained] == [0.99]
    assert (wider.before.feasible, wider.after.feasible) == (3, 4)
    tighter = relax(run.spec, columns, ["latency.max=1.5ms", "accuracy.min=0.6"])
    assert [r.evaluation.metric("latency_ms").value for r in tighter.changed.lost] == [2.0]
    assert tighter.after.exit_status == 0
    assert [change.text for change in tighter.changes] == ["latency.max to 1.5 ms", "accuracy.min to 0.6"]


def test_relax_prints_the_new_front_and_writes_nothing(run, capsys):
    files = contents(run)
    assert cli.main(["relax", str(run.folder), "--limit", "latency.max=10 ms"]) == 0
    said = capsys.readouterr().out
    assert "latency.max: 5 ms → 10 ms" in said
    assert "feasible 3 → 4, 1 gained, 0 lost" in said
    assert contents(run) == files


def test_relax_json_is_the_fronts_document_with_what_changed(run, capsys):
    options = ["--limit", "latency.max=1.5ms", "--limit", "accuracy.min=0.6", "--json"]
    assert cli.main(["relax", str(run.folder), *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["run_spec_id"] == run.spec.id != document["spec_id"]
    assert [change["limit"] for change in document["limits"]] == ["latency", "accuracy"]
    assert document["before"] == {"verdict": "feasible", "counts": {"feasible": 3, "on_front": 2}}
    assert document["changes"]["lost"][0]["why"] == "misses latency"
    assert {row["id"] for row in document["evaluations"] if row["on_front"]} == {evaluation(8).id}


def test_nothing_feasible_is_status_4_with_verified_ways_out(run, capsys):
    assert cli.main(["relax", str(run.folder), "--limit", "latency.max=0.5ms"]) == 4
    said = capsys.readouterr().out
    assert "binding limit: latency: missed by 4 of 4" in said
    assert f"latency.max to 1 ms makes 1 candidate feasible: advisor relax {run.folder} --limit latency.max=1ms" in said


def test_a_target_that_fails_beside_one_that_does_not_has_ways_out_of_its_own(tmp_path):
    spec = spec_with("latency: {max: 5 ms}", "[host:onnxruntime, stm32h743:tflm]")
    run = create_run(spec, tmp_path / "run", {"data_fingerprint": "x"})
    for row in (evaluation(8, 0.9, 1.0), evaluation(16, 0.95, 9.0), evaluation(8, 0.9, 8.0, target="stm32h743:tflm")):
        run.ledger.add(row)
    info = answer_info(run, run.front())
    assert info["verdict"] == "feasible"
    assert info["missed"][0]["text"].startswith("latency: missed by 1 of 1")
    assert [way["options"] for way in info["ways_out"]] == ["--limit latency.max=8ms"]
    said = front_text(spec, info, folder="RUN")
    assert "nothing meets every hard limit on stm32h743:tflm" in said
    assert "way out: latency.max to 8 ms makes 1 candidate feasible: advisor relax RUN --limit latency.max=8ms" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latencyy.max=60ms", ("unknown limit", "did you mean 'latency'?")),
        ("speed.max=60ms", ("unknown limit", "latency, peak_ram")),
        ("latency.mx=60ms", ("unknown key", "latency.max", "did you mean 'max'?")),
        ("latency.min=60ms", ("unknown key", "did you mean latency.max?")),
        ("accuracy.max=0.9", ("unknown key", "did you mean accuracy.min?")),
        ("latency.max", ("a limit and its value", "latency.max=")),
        ("latency.max=60", ("needs a unit", "write 60 ms")),
        ("latency.max=60 KiB", ("unit of memory",)),
        ("latency.stat=p50", ("the ledger cannot answer", "latency.max, latency.soft, latency.scope")),
        ("flash.counts=all", ("the ledger cannot answer", "search again")),
        ("accuracy.min=2", ("not a share",)),
        ("flash.reserved=1 TiB", ("wrong unit", "flash.reserved")),
        ("unit_cost.max=3 USD", ("no figure", "search again")),
        ("battery.min=3 d", ("battery life needs capacity",)),
        ("accuracy_drop.max=0.1", ("baseline",)),
    ],
)
def test_a_wrong_limit_is_one_line_with_status_2(run, text, words, capsys):
    assert cli.main(["relax", str(run.folder), "--limit", text]) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    for word in words:
        assert word in said


def test_a_limit_given_twice_is_refused(run):
    with pytest.raises(SpecError, match="given twice"):
        changed_spec(run.spec, ["latency.max=1ms", "latency=2ms"])


def test_soft_limits_and_limits_the_spec_has_not(run):
    columns = run.ledger.columns()
    soft = relax(run.spec, columns, ["latency.soft=true"])
    assert soft.after.feasible == 4
    new = relax(run.spec, columns, ["peak_ram.max=5 KiB"])
    assert new.after.exit_status == 4
    assert relax(run.spec, columns, ["peak_ram.max=5 KiB", "peak_ram.soft=true"]).after.feasible == 3


def test_an_unknown_figure_under_a_new_limit_decides_nothing_and_says_why(run, capsys):
    assert cli.main(["relax", str(run.folder), "--limit", "energy.max=1mJ"]) == 4
    said = capsys.readouterr().out
    assert "energy unknown: no power states" in said
    assert "energy: not known of 4 of 4" in said


def test_skipped_candidates_that_a_wider_limit_would_allow_are_counted(spec):
    cheap, dear = evaluation(8, latency_ms=7.0), evaluation(16, latency_ms=70.0)
    rows = [evaluation(24)] + [
        replace(e, status="skipped", metrics={"latency_ms": Estimate(e.metric("latency_ms").value, 6.0 * i, 80.0,
                                                                     "predicted")})
        for i, e in ((1, cheap), (10, dear))
    ]  # fmt: skip
    assert relax(spec, columns_of(rows), ["latency.max=8ms"]).reachable == 1
    assert relax(spec, columns_of(rows), ["latency.max=5ms"]).reachable == 0


def test_the_way_out_of_several_missed_limits_is_joint_and_verified():
    spec = spec_with("latency: {max: 1 ms}, accuracy: {min: 0.99}")
    columns = columns_of([evaluation(8, 0.95, 2.0), evaluation(16, 0.97, 6.0)])
    missed, ways = ways_out(spec, columns)
    assert {found.limit for found in missed} == {"latency", "accuracy"}
    assert len(ways) == 1
    assert front(changed_spec(spec, [f"{c.limit}.{c.key}={c.after}" for c in ways[0].changes]), columns).feasible == 1


def test_every_single_way_out_does_what_it_says():
    spec = spec_with("latency: {max: 1 ms}, accuracy: {min: 0.9}, flash: {max: 19 KiB}")
    rows = [evaluation(8 + i, 0.5 + 0.01 * i, 0.2 + 0.13 * i) for i in range(40)]
    columns = columns_of(rows)
    _, ways = ways_out(spec_with("latency: {max: 1 ms}, accuracy: {min: 0.9}"), columns)
    assert ways
    for way in ways:
        text = [f"{c.limit}.{c.key}={c.after}" for c in way.changes]
        assert front(changed_spec(spec_with("latency: {max: 1 ms}, accuracy: {min: 0.9}"), text), columns).feasible == (
            way.feasible
        )
    assert ways_out(spec, columns)[1]


def test_targets_are_answered_together_or_one_alone(spec, run, capsys):
    run.ledger.add(evaluation(56, 0.999, 8.0, target="host:litert"))
    assert cli.main(["relax", str(run.folder), "--limit", "latency.max=8.5ms", "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert {row["target"] for row in both["evaluations"] if row["on_front"]} == {"host:onnxruntime", "host:litert"}
    assert cli.main(["relax", str(run.folder), "--limit", "latency.max=8.5ms", "--target", "host:litert"]) == 0
    assert "1 candidate evaluated" in capsys.readouterr().out
    assert cli.main(["relax", str(run.folder), "--limit", "latency.max=9ms", "--target", "host:tflm"]) == 2


def test_relax_loads_nothing_heavy(run):
    code = (
        "import sys\nfrom advisor.cli import main\n"
        f"main(['relax', {str(run.folder)!r}, '--limit', 'latency.max=0.5ms'])\n"
        "heavy = ('torch', 'tensorflow', 'optuna', 'timm', 'streamlit', 'sklearn', 'onnxruntime', 'pandas')\n"
        "print('loaded:', [m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == "loaded: []"


def test_an_unfinished_run_says_so(run, capsys):
    for verb in (["front"], ["relax", "--limit", "latency.max=10ms"]):
        options = [verb[0], str(run.folder), *verb[1:]]
        run.ledger.set_fact("elapsed_s", "1")
        assert cli.main(options) == 0
        assert f"not finished: continue with `advisor resume {run.folder}`" in capsys.readouterr().out
        assert cli.main([*options, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["finished"] is False
    run.ledger.set_fact("finished", "2026-01-01T00:00:00Z")
    for verb in (["front"], ["relax", "--limit", "latency.max=10ms"]):
        assert cli.main([verb[0], str(run.folder), *verb[1:]]) == 0
        assert "not finished" not in capsys.readouterr().out


def test_limits_are_told_in_units_people_use(run, capsys):
    assert cli.main(["relax", str(run.folder), "--limit", "flash.max=64KiB", "--limit", "latency.max=12500us"]) == 0
    said = capsys.readouterr().out
    assert "latency.max: 5 ms → 12.5 ms" in said
    assert "flash.max: no limit → 64 KiB" in said or "→ 64 KiB" in said
    assert cli.main(["relax", str(run.folder), "--limit", "accuracy.min=0.999"]) == 4
    assert "accuracy misses 99.9 % by 0.9 points (99.0 %)" in capsys.readouterr().out
