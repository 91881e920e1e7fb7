from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from advisor.feasibility.assess import Feasibility, assess
from advisor.feasibility.predict import meets_all
from advisor.feasibility.relax import relaxed, rounded
from advisor.report.feasibility_info import feasibility_info
from advisor.tasks.peek import Peek, peek
from specs import catalog
from specs.limits import LIMIT_DIMENSION
from specs.spec import Spec
from specs.units import parse_quantity

BATTERY = "battery: {min: 100 y, capacity: 220 mAh, voltage: 3 V, every: 1 min, sleep: 2 uA}"
IMPOSSIBLE = {
    "peak_ram": "peak_ram: {max: 1 KiB}",
    "flash": "flash: {max: 2 KiB}",
    "latency": "latency: {max: 1 ns}",
    "unit_cost": "unit_cost: {max: 0.1 USD}",
    "battery": BATTERY,
    "energy": "energy: {max: 1 nJ}",
    "power": "power: {max: 1 mW}",
}


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_proves_an_impossible_limit_and_names_it(ask: Callable[..., Feasibility], name: str) -> None:
    report = ask(IMPOSSIBLE[name])
    assert report.verdict == "proven infeasible"
    assert report.exit_status == 3
    assert [limit.name for limit in report.targets[0].binding] == [name]
    margin = report.targets[0].binding[0].margin
    assert margin is not None
    assert margin > 0


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_the_relaxation_passes_and_less_does_not(ask: Callable[..., Feasibility], name: str) -> None:
    report = ask(IMPOSSIBLE[name] + ", accuracy: {min: 0.9}")
    (way,) = report.relaxations
    assert way.single
    assert way.verified
    (change,) = way.changes
    assert change.limit == name
    dimension = LIMIT_DIMENSION[name]
    assert dimension is not None
    assert parse_quantity(change.text.partition(": ")[2], dimension) == pytest.approx(change.after)
    assert way.candidate
    (target,) = report.spec.targets
    assert assess(relaxed(report.spec, way.changes), report.peek).exit_status == 0
    assert meets_all(relaxed(report.spec, way.changes), target, report.peek) is not False
    less = 0.85 if change.text.startswith("max") else 1.15
    short = relaxed(report.spec, [replace(change, after=change.after * less)])
    assert meets_all(short, target, report.peek) is False


@pytest.mark.parametrize("target", ["host:onnxruntime", "stm32h743:tflm"])
def test_a_way_out_is_one_that_a_candidate_is_predicted_to_take(ask: Callable[..., Feasibility], target: str) -> None:
    """The bound alone is a thousandfold below what the runtime needs to call a network's operators."""
    report = ask("latency: {max: 1 ns}", target)
    (limit,) = report.targets[0].binding
    (way,) = report.relaxations
    assert limit.expected is not None
    assert way.changes[0].after >= (limit.expected.value or 0)
    assert re.fullmatch(r"max: (\d|\d\d|\d\.\d|\d\d0) us", way.changes[0].text)


def test_where_nothing_is_predicted_the_bound_is_no_promise(ask: Callable[..., Feasibility]) -> None:
    more = "search: {architectures: ['timm:resnet18'], quantization: [fp32]}"
    report = ask("flash: {max: 1 KiB}", "host:onnxruntime", more)
    (way,) = report.relaxations
    assert not way.verified
    assert "not verified" in feasibility_info(report)["relaxations"][0]["text"]


def test_limits_that_bind_together_are_relaxed_together(ask: Callable[..., Feasibility]) -> None:
    report = ask("peak_ram: {max: 1 KiB}, flash: {max: 2 KiB}, latency: {max: 1 s}")
    (way,) = report.relaxations
    assert [change.limit for change in way.changes] == ["peak_ram", "flash"]
    assert way.verified
    assert assess(relaxed(report.spec, way.changes), report.peek).verdict == "possible"
    for change in way.changes:
        assert assess(relaxed(report.spec, [change]), report.peek).verdict == "proven infeasible"


def test_one_able_target_makes_it_possible(ask: Callable[..., Feasibility]) -> None:
    report = ask("unit_cost: {max: 4 USD}", "stm32h743:tflm, esp32-s3:tflm")
    assert [target.verdict for target in report.targets] == ["proven infeasible", "possible"]
    assert report.verdict == "possible"
    assert report.exit_status == 0
    assert not report.relaxations


def test_the_smallest_relaxation_among_targets_is_kept(ask: Callable[..., Feasibility]) -> None:
    report = ask("unit_cost: {max: 1 USD, volume: 1000}", "stm32h743:tflm, esp32-s3:tflm")
    (way,) = report.relaxations
    assert way.target == "esp32-s3:tflm"
    assert way.changes[0].text == "max: 2.98 USD"


def test_soft_limits_prove_nothing(ask: Callable[..., Feasibility]) -> None:
    report = ask("latency: {max: 1 ns, soft: true}")
    assert report.verdict == "possible"
    limit = report.targets[0].limits[0]
    assert limit.met is False
    assert not limit.binds


def test_accuracy_is_not_known_before_training(ask: Callable[..., Feasibility]) -> None:
    report = ask("accuracy: {min: 1.0}")
    assert report.verdict == "possible"
    limit = report.targets[0].limits[0]
    assert limit.met is None
    assert limit.best.reason == "not known before training"
    assert any("not known before training" in line for line in report.targets[0].unknown)


def test_energy_on_the_host_stays_open(ask: Callable[..., Feasibility]) -> None:
    report = ask("energy: {max: 1 nJ}, unit_cost: {max: 1 USD}", "host:onnxruntime")
    assert report.verdict == "possible"
    assert all(limit.met is None for limit in report.targets[0].limits if limit.scope == "spec")
    assert {"EA009", "EA013"} <= {finding.code for finding in report.findings}


def test_the_pipeline_and_reserved_memory_count(ask: Callable[..., Feasibility]) -> None:
    pipeline = "pipeline: {capture: 30 ms}"
    assert ask("latency: {max: 20 ms, scope: pipeline}", more=pipeline).exit_status == 3
    assert ask("latency: {max: 20 ms}", more=pipeline).exit_status == 0
    assert ask("peak_ram: {max: 64 KiB}").exit_status == 0
    assert ask("peak_ram: {max: 64 KiB, reserved: 63 KiB}").exit_status == 3


def test_the_chip_itself_rules_out(spec: Callable[..., Spec]) -> None:
    asked = spec(targets="stm32f103:tflm", more="search: {architectures: [resnet], quantization: [fp32]}")
    report = assess(asked, Peek(((96, 96, 3),), 2))
    assert report.verdict == "proven infeasible"
    assert [limit.name for limit in report.targets[0].binding] == ["chip_ram"]
    assert not report.relaxations
    assert report.chips


def test_a_runtime_without_the_quantization_runs_nothing(ask: Callable[..., Feasibility]) -> None:
    report = ask(more="search: {quantization: [int8-pt2e]}")
    assert report.verdict == "proven infeasible"
    assert "int8" in report.targets[0].unsupported


def test_chips_come_by_price_and_pass(ask: Callable[..., Feasibility]) -> None:
    report = ask("unit_cost: {max: 3 USD, volume: 1000}, latency: {max: 1 s}")
    prices = [chip.price.value for chip in report.chips if chip.price.value is not None and not chip.open]
    assert prices == sorted(prices)
    assert [bool(chip.open) for chip in report.chips] == sorted(bool(chip.open) for chip in report.chips)
    assert all("unit_cost" in chip.open for chip in report.chips if chip.price.value is None)
    assert all(chip.price.reason for chip in report.chips if chip.price.value is None)
    assert all(chip.target != "stm32h743:tflm" and not chip.target.startswith("host:") for chip in report.chips)
    assert report.chips
    for chip in report.chips[:5]:
        other = replace(report.spec, targets=(catalog.target(chip.target),))
        assert assess(other, report.peek).exit_status == 0


def test_chips_of_unknown_price_come_last(ask: Callable[..., Feasibility]) -> None:
    unknown = [chip.price.value is None for chip in ask("flash: {max: 1 MiB}").chips if not chip.open]
    assert unknown == sorted(unknown)
    assert any(unknown)


def test_predictions_tell_tight_from_possible(ask: Callable[..., Feasibility]) -> None:
    report = ask("latency: {max: 0.02 ms}")
    limit = report.targets[0].limits[0]
    assert report.verdict == "possible"
    assert limit.likely is False
    assert limit.expected is not None
    assert limit.expected.value is not None
    assert limit.best.value is not None
    assert limit.expected.low is not None
    assert limit.best.value <= limit.expected.low
    assert report.targets[0].joint is not None
    assert report.targets[0].joint.missed == ("latency",)


def test_missing_data_is_assumed_and_proves_only_what_holds_for_all(ask: Callable[..., Feasibility]) -> None:
    task = "{kind: image-classification, data: nothing-here}"
    sure = ask("flash: {max: 2 KiB}", task=task)
    assert sure.verdict == "proven infeasible"
    assert sure.peek.assumed
    unsure = ask("latency: {max: 0.02 ms}", task=task)
    assert unsure.verdict == "possible"
    assert unsure.impossible
    assert "EA002" in {finding.code for finding in unsure.findings}
    assert unsure.relaxations[0].verified


def test_the_front_end_is_part_of_a_limited_pipeline(ask: Callable[..., Feasibility]) -> None:
    task = "{kind: audio-classification, data: nothing-here}"
    model, pipeline = (
        ask(f"latency: {{max: 1 s, scope: {scope}}}", task=task).targets[0].limits[0] for scope in ("model", "pipeline")
    )
    assert model.expected is not None
    assert pipeline.expected is not None
    assert (pipeline.expected.value or 0) > (model.expected.value or 0)
    assert pipeline.best == model.best  # the bound leaves it out, which is safe


def test_peek_of_the_digits_is_read_not_assumed(spec: Callable[..., Spec]) -> None:
    assert not peek(spec()).assumed


@pytest.mark.parametrize(
    ("value", "name", "up", "text"),
    [
        (12345.0, "peak_ram", True, "12.1 KiB"),
        (1023.2, "flash", True, "1030 B"),
        (7.6, "unit_cost", True, "7.6 USD"),
        (0.0123456, "latency", True, "13 us"),
        (3083.7, "battery", False, "8.4 y"),
        (1e-9, "energy", True, "0.001 nJ"),
    ],
)
def test_rounds_to_few_digits_on_the_safe_side(value: float, name: str, up: bool, text: str) -> None:
    dimension = LIMIT_DIMENSION[name]
    assert dimension is not None
    found, words = rounded(value, dimension, up=up)
    assert words == text
    assert found >= value if up else found <= value
