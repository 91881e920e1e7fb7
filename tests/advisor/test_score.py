import pytest

from advisor.score import at_risk, complete, feasible, impossible, margins, metrics_of, violation
from cost_models.estimate import Costs, Estimate, Item
from specs import catalog
from specs.spec import parse_spec

HEAD = "schema: 1\nname: t\ntask: {kind: image-classification, data: digits}\ntargets: [stm32h743:tflm]\n"


def spec(limits, rest=""):
    return parse_spec(f"{HEAD}limits: {limits}\n{rest}")


def predicted(value, low, high):
    return Estimate(value, low, high, "predicted", 0)


def test_predicted_limits_are_held_at_the_spec_risk():
    figure = predicted(10.0, 5.0, 20.0)  # 90 % interval, log-normal: one sigma is a factor of 1.5241
    assert at_risk(figure, 0.5, "max") == pytest.approx(10.0)
    assert at_risk(figure, 0.95, "max") == pytest.approx(20.0)
    assert at_risk(figure, 0.95, "min") == pytest.approx(5.0)
    careful = spec("{latency: {max: 15 ms}}", "risk: {feasible_probability: 0.9}")
    bold = spec("{latency: {max: 15 ms}}", "risk: {feasible_probability: 0.6}")
    assert feasible(margins(careful, {"latency_ms": figure})) is False
    assert feasible(margins(bold, {"latency_ms": figure})) is True


def test_measured_figures_are_taken_as_they_are():
    figure = Estimate(10.0, 5.0, 20.0, "measured", 50)
    assert margins(spec("{latency: {max: 10 ms}}"), {"latency_ms": figure})[0].value == 0.0


def test_reserved_memory_and_pipeline_stages_count():
    s = spec(
        "{peak_ram: {max: 100 KiB, reserved: 40 KiB}, latency: {max: 20 ms, scope: pipeline}}",
        "pipeline: {capture: 12 ms}",
    )
    metrics = {"peak_ram_bytes": Estimate.exact(61 * 1024.0), "latency_ms": Estimate.exact(9.0)}
    found = {m.limit: m for m in margins(s, metrics)}
    assert found["peak_ram"].value == pytest.approx(0.01)
    assert found["latency"].value == pytest.approx(1 / 20)


def test_the_front_end_is_part_of_the_pipeline():
    s = spec("{latency: {max: 20 ms, scope: pipeline}}")
    metrics = {"latency_ms": Estimate.exact(9.0), "frontend_ms": predicted(10.0, 8.0, 14.0)}
    estimate = margins(s, metrics)[0].estimate
    assert (estimate.value, estimate.low, estimate.high, estimate.source) == (19.0, 17.0, 23.0, "predicted")


def test_impossible_only_where_the_optimistic_end_breaks_a_hard_limit():
    s = spec("{latency: {max: 4 ms}, flash: {max: 10 KiB, soft: true}}")
    assert impossible(s, {"latency_ms": predicted(10.0, 3.9, 20.0)}) == []
    assert [m.limit for m in impossible(s, {"latency_ms": predicted(10.0, 4.1, 20.0)})] == ["latency"]
    assert impossible(s, {"flash_bytes": Estimate.exact(1e6)}) == []


def test_soft_limits_do_not_decide():
    s = spec("{flash: {max: 10 KiB, soft: true}}")
    found = margins(s, {"flash_bytes": Estimate.exact(20 * 1024.0)})
    assert feasible(found) is True
    assert violation(found) == 0


def test_counts_model_counts_arena_and_file_alone():
    items = (
        Item("peak_ram_bytes", "arena", 1000, 1000, 1000, "computed"),
        Item("peak_ram_bytes", "persistent", 90, 100, 110, "computed"),
        Item("peak_ram_bytes", "runtime", 2000, 4000, 8000, "assumed"),
        Item("flash_bytes", "model", 5000, 5000, 5000, "computed"),
        Item("flash_bytes", "runtime", 20000, 45000, 90000, "assumed"),
    )
    absent = Estimate.absent("x")
    costs = Costs(
        {
            "peak_ram_bytes": Estimate(5100, 3090, 9110, "assumed"),
            "flash_bytes": Estimate(50000, 25000, 95000, "assumed"),
            "latency_ms": absent,
            "energy_mj": absent,
            "power_mw": absent,
        },
        items,
    )
    target = catalog.target("stm32h743:tflm")
    every = metrics_of(spec("{peak_ram: {max: 8 KiB}, flash: {max: 64 KiB}}"), target, costs)
    model = metrics_of(
        spec("{peak_ram: {max: 8 KiB, counts: model}, flash: {max: 64 KiB, counts: model}}"), target, costs
    )
    assert (every["peak_ram_bytes"].value, every["flash_bytes"].value) == (5100, 50000)
    assert (model["peak_ram_bytes"].value, model["flash_bytes"].value) == (1100, 5000)
    assert model["peak_ram_bytes"].source == "computed"


def test_battery_and_price_follow_from_the_other_figures():
    s = spec(
        "{battery: {min: 30 d, capacity: 1000 mAh, voltage: 3 V, every: 1 s, sleep: 10 uA}, unit_cost: {max: 50 USD}}"
    )
    target = catalog.target("stm32h743:tflm")
    metrics = complete(s, target, {"energy_mj": Estimate.exact(1.0), "latency_ms": Estimate.exact(5.0)})
    # 1000 mAh × 3 V = 10.8 kJ; 1 mJ an inference and second plus 3 V × 10 uA = 30 uW asleep
    assert metrics["battery_d"].value == pytest.approx(10800 / (1e-3 + 30e-6 * 0.995) / 86400, rel=1e-3)
    assert metrics["unit_cost_usd"].value == target.chip.price.usd


def test_a_candidate_that_needs_more_than_the_chip_has_is_infeasible_without_any_limit():
    target = catalog.target("stm32f401:tflm")
    absent = Estimate.absent("x")
    size = target.chip.memory_bytes("ram")
    costs = Costs({"peak_ram_bytes": Estimate.exact(size + 1.0), "flash_bytes": Estimate.exact(1000.0),
                   "latency_ms": absent, "energy_mj": absent, "power_mw": absent})  # fmt: skip
    metrics = metrics_of(spec("{accuracy: {min: 0}}"), target, costs)
    broken = impossible(spec("{accuracy: {min: 0}}"), metrics)
    assert [(m.limit, m.bound) for m in broken] == [("chip_ram", size)]
    assert feasible(margins(spec("{accuracy: {min: 0}}"), {**metrics, "accuracy": Estimate.exact(1.0)})) is False
