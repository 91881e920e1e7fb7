"""Named picks: at most seven, a reason with figures each, absent ones with a reason."""

from dataclasses import replace

import pytest
from advisor_samples import DIGITS, evaluation

from advisor.front import front, front_info, pick
from advisor.picks import PICKS, at_risk_value
from cost_models.estimate import Estimate
from specs import catalog
from specs.errors import SpecError
from specs.spec import parse_spec


def row(width, accuracy, latency, *, flash=20_000.0, energy=None, target="host:onnxruntime"):
    made = evaluation(width, accuracy, latency, target=target)
    metrics = {**made.metrics, "flash_bytes": Estimate.exact(flash)}
    if energy is not None:
        metrics["energy_mj"] = Estimate(energy, energy / 2, energy * 2, "predicted")
    return replace(made, metrics=metrics)


@pytest.fixture
def found(spec):
    return front(spec, [row(8, 0.80, 0.5, flash=30_000.0), row(16, 0.94, 1.0), row(24, 0.97, 4.0, flash=50_000.0)])


def names(found):
    return {name: chosen.row.evaluation.metric("latency_ms").value for chosen in found.picks().chosen
            for name in chosen.names}  # fmt: skip


def test_every_name_is_the_candidate_it_says(found):
    assert names(found) == {"knee": 1.0, "accuracy": 4.0, "latency": 0.5, "smallest": 1.0, "safest": 1.0}


def test_two_names_on_one_candidate_are_one_row_with_a_reason_each(found):
    picks = found.picks().chosen
    assert [chosen.names for chosen in picks] == [("knee", "smallest", "safest"), ("accuracy",), ("latency",)]
    info = front_info(found.spec, found)["picks"]
    assert set(info[0]["why"]) == {"knee", "smallest", "safest"}


def test_reasons_have_figures_units_and_the_distance_to_the_next(found):
    why = {name: text for chosen in found.picks().chosen for name, text in chosen.reasons.items()}
    assert why["accuracy"] == "most accurate: 97.0 % accuracy (measured), 3 points above the next of 3"
    assert why["latency"] == "fastest: 500 us p95 latency (measured), 50 % below the next of 3"
    assert "19.5 KiB flash" in why["smallest"] or "model file" in why["smallest"]
    assert why["knee"].startswith("bend of the front: 94.0 % accuracy (measured), 3 points short of the best")
    assert "1 ms p95 latency (measured), 2 times the least" in why["knee"]
    assert "its tightest limit" in why["safest"]
    assert all("\n" not in text for text in why.values())


def test_a_pick_without_the_figure_is_absent_with_a_reason(found):
    absent = found.picks().absent
    assert absent["energy"] == "not known on host:onnxruntime: no power states"
    assert "not a part for sale" in absent["cheapest"]
    with pytest.raises(SpecError, match=r"no power states.*allowed: knee, accuracy, latency, smallest, safest"):
        pick(found, "energy")


def test_least_energy_and_cheapest_where_they_are_known():
    first, second = [target.id for target in catalog.targets() if target.chip.price and target.runtime.id == "tflm"][:2]
    spec = parse_spec(DIGITS.replace("[host:onnxruntime]", f"[{first}, {second}]"))
    prices = {target.id: target.chip.price.usd for target in spec.targets}
    rows = [row(8, 0.8, 1.0, energy=3.0, target=first), row(16, 0.9, 2.0, energy=2.0, target=second)]
    found = front(spec, rows)
    assert pick(found, "energy").evaluation.target == second
    assert prices[pick(found, "cheapest").evaluation.target] == min(prices.values())
    assert pick(found, "cheapest", first).evaluation.target == first
    why = {name: text for chosen in found.picks().chosen for name, text in chosen.reasons.items()}
    assert "USD a unit (assumed)" in why["cheapest"]
    assert why["energy"] == "least energy: 2 mJ an inference (predicted), 33 % below the next of 2"
    assert len(found.picks().chosen) <= len(PICKS)


def test_safest_keeps_the_largest_share_of_its_tightest_limit(spec):
    found = front(spec, [row(8, 0.51, 0.1), row(16, 0.9, 4.9), row(24, 0.8, 2.0)])
    chosen = pick(found, "safest")
    assert chosen.evaluation.metric("latency_ms").value == 2.0
    latency = next(m for m in chosen.margins if m.limit == "latency")
    assert at_risk_value(latency) == pytest.approx(2.0)


def test_no_hard_limit_no_safest():
    spec = parse_spec(DIGITS.split("limits:")[0])
    assert "no hard limit" in front(spec, [row(8, 0.8, 1.0), row(16, 0.9, 2.0)]).picks().absent["safest"]


def test_the_only_member_is_named_once_and_says_so(spec):
    picks = front(spec, [row(8, 0.8, 1.0)]).picks().chosen
    assert len(picks) == 1
    assert set(picks[0].reasons.values()) == {
        "the only candidate on the front: 80.0 % accuracy (measured), 1 ms p95 latency (measured)"
    }


def test_nothing_feasible_no_picks(spec):
    picks = front(spec, [row(8, 0.1, 1.0)]).picks()
    assert (picks.chosen, picks.absent) == ((), {})
