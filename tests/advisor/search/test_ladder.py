"""Who climbs the ladder: rules that a search's budget and its user's front depend on."""

from dataclasses import replace

import pytest
from advisor_samples import DIGITS, evaluation

from advisor.rung import SCORE
from advisor.search import ladder
from advisor.search.ladder import (
    ARTIFACT,
    CHEAP,
    DEVICE,
    LADDER,
    SHORT,
    TRAINED,
    ladder_for,
    next_promotion,
    promote,
    ranking,
    rung_of,
    spent_s,
)
from cost_models.estimate import Estimate
from specs.spec import parse_spec


@pytest.fixture(scope="module")
def strict():
    """Latency at most 5 ms, accuracy at least 0.95."""
    return parse_spec(DIGITS.replace("{min: 0.5}", "{min: 0.95}"))


def on(rung, width, score, latency_ms=1.0, **more):
    """An evaluation as a rung leaves it; `width` makes the candidate."""
    if rung is ARTIFACT or rung is DEVICE:
        row = evaluation(width, score, latency_ms, fidelity="full", **more)
        return replace(row, details={"measured": "quick"}) if rung is DEVICE else row
    row = evaluation(width, 0.0, latency_ms, status="ranked", fidelity=rung.fidelity, **more)
    absent = Estimate.absent("not exported yet")
    return replace(row, metrics={**row.metrics, "accuracy": absent, SCORE: Estimate.exact(score, "measured")})


def scores(rows, metric=SCORE):
    return [row.metric(metric).value for row in rows]


def test_the_rung_of_a_row_is_read_from_what_it_proves():
    rows = [on(rung, 8, 0.9) for rung in LADDER[1:]]
    assert [rung_of(row) for row in rows] == ["cheap", "trained", "artifact", "device"]
    assert rung_of(evaluation(8)) == "short"
    assert rung_of(evaluation(8, status="failed")) is None
    broken = replace(rows[-1], details={"measured": "quick", "measurement_error": "crashed"})
    assert rung_of(broken) == "artifact"


def test_the_front_climbs_before_what_it_dominates(spec):
    rows = [on(CHEAP, 8, 0.3, 1.0), on(CHEAP, 16, 0.5, 2.0), on(CHEAP, 24, 0.4, 3.0), on(CHEAP, 32, 0.2, 4.0)]
    assert scores(promote(spec, rows, CHEAP, 2)) == [0.5, 0.3]
    assert scores(promote(spec, rows, CHEAP, 9)) == [0.5, 0.3, 0.4, 0.2]
    assert promote(spec, rows, CHEAP, 0) == []


def test_costs_decide_feasibility_before_accuracy_is_final(strict):
    slow, low = on(CHEAP, 8, 0.9, 9.0), on(CHEAP, 16, 0.3, 1.0)
    assert promote(strict, [slow, low], CHEAP, 5) == [low]
    poor, good = on(ARTIFACT, 8, 0.90, 1.0), on(ARTIFACT, 16, 0.97, 2.0)
    assert promote(strict, [poor, good], ARTIFACT, 5) == [good]


def test_where_nothing_is_feasible_the_least_violating_climb(spec):
    rows = [on(CHEAP, 8, 0.9, 20.0), on(CHEAP, 16, 0.5, 6.0), on(CHEAP, 24, 0.6, 11.0)]
    assert scores(promote(spec, rows, CHEAP, 2)) == [0.5, 0.6]


def test_ties_go_to_what_spreads_the_front(spec):
    """Two near twins and a lone corner are all non-dominated: the corner comes before the second twin."""
    twins = [on(CHEAP, 8, 0.80, 2.00), on(CHEAP, 16, 0.81, 2.01)]
    others = [on(CHEAP, 24 + 8 * i, score, latency) for i, (score, latency) in enumerate(((0.2, 0.1), (0.4, 0.5)))]
    order = [row.candidate.id for row in promote(spec, [*twins, *others], CHEAP, 4)]
    assert order.index(others[1].id) < order.index(twins[0].id)


def test_what_is_good_at_all_objectives_climbs_before_their_ends(spec):
    """The most accurate is also the slowest to train: an early answer is one that teams can use."""
    ends = [on(CHEAP, 8, 0.95, 4.5), on(CHEAP, 16, 0.90, 4.0), on(CHEAP, 32, 0.30, 0.1), on(CHEAP, 40, 0.2, 0.05)]
    middle = on(CHEAP, 24, 0.85, 0.5)
    assert scores(promote(spec, [*ends, middle], CHEAP, 2)) == [0.85, 0.95]


def test_the_most_accurate_of_every_quantization_is_kept_for_comparison(spec):
    int8 = [on(TRAINED, 8, 0.9, 1.0), on(TRAINED, 16, 0.8, 0.5)]
    slower = on(TRAINED, 24, 0.7, 3.0)
    fp32 = replace(slower, candidate=replace(slower.candidate, quantization="fp32"))
    assert [row.candidate.quantization for row in promote(spec, [*int8, fp32], TRAINED, 2)] == ["int8", "fp32"]


def test_nothing_climbs_twice_nor_after_failing(spec):
    cheap = [on(CHEAP, 8, 0.5, 1.0), on(CHEAP, 16, 0.6, 2.0), on(CHEAP, 24, 0.7, 3.0)]
    history = [*cheap, on(TRAINED, 24, 0.9, 3.0), evaluation(16, status="failed", fidelity="full", reason="diverged")]
    assert promote(spec, history, CHEAP, 5) == [cheap[0]]


def test_what_climbed_still_takes_its_place_in_the_ranking(spec):
    """A dominated candidate does not become a front member because its better has moved on."""
    better, worse, corner = on(CHEAP, 8, 0.7, 2.0), on(CHEAP, 16, 0.6, 3.0), on(CHEAP, 24, 0.1, 1.0)
    assert promote(spec, [worse, corner, better, on(TRAINED, 8, 0.9, 2.0)], CHEAP, 2) == [corner, worse]


def test_the_newest_row_of_a_candidate_counts(spec):
    old, other, new = on(CHEAP, 8, 0.9, 1.0), on(CHEAP, 16, 0.8, 2.0), on(CHEAP, 8, 0.9, 3.0)
    assert promote(spec, [old, other, new], CHEAP, 1)[0].metric("latency_ms").value == 3.0
    assert promote(spec, [old, other, new], CHEAP, 5)[1] == other


def test_short_trainings_of_runs_without_a_cheap_rung_climb_too(spec):
    """The front first; what breaks a cost limit stays behind; what is fully trained has climbed."""
    rows = [evaluation(8, 0.90, 1.0), evaluation(16, 0.95, 2.0), evaluation(24, 0.94, 3.0), evaluation(32, 0.99, 9.0),
            evaluation(40, 0.3, 0.5), evaluation(48, 0.99, 1.0, fidelity="full")]  # fmt: skip
    assert scores(promote(spec, rows, SHORT, 9), "accuracy") == [0.95, 0.90, 0.3, 0.94]


def test_an_objective_without_figures_does_not_decide():
    spec = parse_spec(DIGITS.replace("[accuracy, latency]", "[accuracy, energy]"))
    rows = [on(CHEAP, 8, 0.3, 1.0), on(CHEAP, 16, 0.5, 2.0)]
    assert scores(promote(spec, rows, CHEAP, 2)) == [0.5, 0.3]


def test_a_backbone_priced_by_its_export_only_climbs_by_accuracy(spec):
    unpriced = on(CHEAP, 8, 0.6)
    unpriced = replace(unpriced, metrics={SCORE: unpriced.metric(SCORE)})
    rows = [on(CHEAP, 16, 0.5, 1.0), unpriced, on(CHEAP, 24, 0.4, 2.0)]
    assert promote(spec, rows, CHEAP, 2) == [rows[0], unpriced]


def test_a_free_worker_takes_the_highest_promotion_or_begins_anew(spec):
    cheap = [on(CHEAP, 8 * (i + 1), 0.1 * i, 1.0 + i) for i in range(4)]
    assert next_promotion(spec, cheap[:3]) is None
    assert next_promotion(spec, cheap) == (cheap[1], TRAINED)
    # while another worker trains it, the next free one begins a new candidate instead of waiting
    assert next_promotion(spec, cheap, {(cheap[1].id, "trained")}) is None
    trained = [on(TRAINED, 8 * (i + 1), 0.1 * i, 1.0 + i) for i in range(2)]
    row, rung = next_promotion(spec, [*cheap, *trained])
    assert (row, rung) == (trained[1], ARTIFACT)
    exported = [on(ARTIFACT, 8 * (i + 1), 0.9, 1.0 + i) for i in range(2)]
    row, rung = next_promotion(spec, [*cheap, *trained, *exported])
    assert (row, rung) == (exported[0], DEVICE)


def test_what_cannot_be_lifted_now_leaves_the_place_to_the_next(spec):
    cheap = [on(CHEAP, 8 * (i + 1), 0.1 * i, 1.0 + i) for i in range(8)]
    best, following = ranking(spec, cheap, CHEAP)[:2]
    assert next_promotion(spec, cheap, able=lambda row, rung: row is not best) == (following, TRAINED)
    assert next_promotion(spec, cheap, able=lambda row, rung: row not in (best, following)) is None


def test_with_time_left_more_than_the_share_climb(spec):
    cheap = [on(CHEAP, 8, 0.5, 1.0), on(CHEAP, 16, 0.4, 2.0)]
    assert next_promotion(spec, cheap) is None
    assert next_promotion(spec, cheap, least=1) == (cheap[0], TRAINED)
    assert next_promotion(spec, cheap, {(cheap[0].id, "trained")}, least=1) is None


def test_any_number_of_workers_climbs_the_same_share(spec):
    """One worker and eight end with as many promotions: rungs are shares, not barriers."""

    def climbed(workers):
        history, running, started = [], [], 0
        while started < 64 or running:
            while len(running) < workers and started < 64:
                job = next_promotion(spec, history, {(row.id, rung.name) for row, rung in running})
                if job is None:
                    row = on(CHEAP, 8 * (started % 8 + 1), (started * 37 % 64) / 64, 1.0 + started % 4)
                    row = replace(row, candidate=replace(row.candidate, structure=f"n{started}"))
                    job, started = (row, CHEAP), started + 1
                running.append(job)
            row, rung = running.pop(0)
            done = on(rung, 8, row.metric(SCORE).value or 0.9, row.metric("latency_ms").value)
            history.append(replace(done, candidate=row.candidate))
        return sum(rung_of(row) == "trained" for row in history)

    # a quarter of 64, and one or two that led for a while
    assert 16 <= climbed(1) <= 20
    assert abs(climbed(8) - climbed(1)) <= 3


def test_seconds_of_every_rung_are_summed_once():
    first = replace(on(CHEAP, 8, 0.5), details={"rung_s": {"cheap": 2.0}})
    second = replace(on(ARTIFACT, 8, 0.9), details={"rung_s": {"trained": 30.0, "artifact": 4.0}})
    again = replace(second, details={**second.details, "measured": "quick"})
    other = replace(on(CHEAP, 16, 0.5), details={"rung_s": {"cheap": 1.0}})
    assert spent_s([first, other, second, again]) == {"cheap": 3.0, "trained": 30.0, "artifact": 4.0}


def test_few_trials_are_exported_at_once_instead_of_halved():
    assert ladder_for(4)[1] is SHORT
    assert ladder_for(8) == ladder_for(500) == LADDER
    assert [rung.name for rung in LADDER] == ["costs", "cheap", "trained", "artifact", "device"]
    assert [rung.final for rung in LADDER] == [False, False, False, True, True]


def test_hundreds_of_rows_are_ranked_by_layers(spec):
    rows = [on(CHEAP, 8, (i * 131 % 400) / 400, 1.0 + (i * 57 % 400) / 100) for i in range(400)]
    rows = [replace(row, candidate=replace(row.candidate, structure=f"n{i}")) for i, row in enumerate(rows)]
    order = promote(spec, rows, CHEAP, 400)
    points = [(-row.metric(SCORE).value, row.metric("latency_ms").value) for row in order]
    for i, p in enumerate(points):
        assert not any(q[0] <= p[0] and q[1] <= p[1] for q in points[i + 1 :]), "a dominating one came later"
    assert len(ladder._layers(ladder._points(spec, rows, CHEAP))) > 1
