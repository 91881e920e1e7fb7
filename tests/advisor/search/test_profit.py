import pytest

from advisor.candidate import Candidate
from advisor.evaluation import Evaluation
from advisor.search.profit import headroom, unprofitable, unprofitable_measured
from cost_models.estimate import Estimate
from specs.spec import parse_spec

CHOICES = ("fp32", "int8", "int8-pt2e")


def spec(limits="{}", objectives="[accuracy, latency]", target="raspberry-pi-4:litert"):
    return parse_spec(
        "schema: 1\nname: t\ntask: {kind: image-classification, data: digits}\n"
        f"targets: [{target}]\nlimits: {limits}\nobjectives: {objectives}\n"
    )


def candidates(count=6):
    return [Candidate("dscnn", (), (8, 8, 1), (), "int8", f"net{i}") for i in range(count)]


def price(int8_latency, int8_flash=0.25, width=1.2, fp32_flash=200_000.0):
    """A price: fp32 takes 10 ms and 200 kB, int8 these shares of it; latency known to a factor of `width`."""

    def metrics(candidate, _target):
        size = 1 + int(candidate.structure[3:]) / 10
        int8 = candidate.precision == "int8"
        latency = 10 * size * (int8_latency if int8 else 1)
        return {
            "latency_ms": Estimate(latency, latency / width, latency * width, "predicted"),
            "flash_bytes": Estimate.exact(fp32_flash * size * (int8_flash if int8 else 1)),
            "peak_ram_bytes": Estimate.exact(50_000 * size * (0.25 if int8 else 1)),
        }

    return metrics


def dropped(s, cost):
    return unprofitable(s, s.targets[0], candidates(), CHOICES, cost)


def test_a_faster_recipe_stays_and_a_slower_one_goes_with_its_reason():
    assert dropped(spec(), price(0.5)) == {}
    found = dropped(spec(), price(1.5))
    assert set(found) == {"int8", "int8-pt2e"}
    assert "latency 1.50 times that of fp32 (predicted)" in found["int8"]
    assert "6 networks" in found["int8"]


def test_slower_but_needed_for_the_flash_stays():
    s = spec("{flash: {max: 100 KiB, counts: model}}")
    assert dropped(s, price(1.5)) == {}
    roomy = spec("{flash: {max: 64 MiB, counts: model}}")
    assert "fp32 meets the limits on flash" in dropped(roomy, price(1.5))["int8"]


def test_slower_but_smaller_stays_where_size_is_an_objective():
    assert dropped(spec(objectives="[accuracy, flash]"), price(1.5)) == {}
    assert dropped(spec(objectives="[accuracy, peak_ram]"), price(1.5)) == {}
    assert "no cost is an objective" in dropped(spec(objectives="[accuracy]"), price(0.5))["int8"]


def test_needed_for_the_latency_stays_even_where_latency_is_no_objective():
    s = spec("{latency: {max: 12 ms}}", objectives="[accuracy]")
    assert dropped(s, price(0.5)) == {}
    assert set(dropped(s, price(1.5))) == {"int8", "int8-pt2e"}


def test_an_unsure_prediction_drops_nothing():
    assert set(dropped(spec(), price(1.3, width=1.2))) == {"int8", "int8-pt2e"}
    assert dropped(spec(), price(1.1, width=3.0)) == {}


def test_what_computes_alike_gains_nothing_however_unsure_the_figure():
    s = spec()
    found = unprofitable(s, s.targets[0], candidates(), ("fp32", "fp16"), price(0.5, width=3.0))
    assert set(found) == {"fp16"}
    assert unprofitable(spec(objectives="[flash]"), s.targets[0], candidates(), ("fp32", "int8"), price(0.5)) == {}


def test_nothing_is_said_without_prices_or_without_fp32():
    s = spec()
    assert unprofitable(s, s.targets[0], candidates(), CHOICES, lambda *_: None) == {}
    assert unprofitable(s, s.targets[0], candidates(), ("int8", "int8-pt2e"), price(2.0)) == {}


def measured(s, quantization, structure, latency, noise=0.02):
    figure = Estimate(latency, latency * (1 - noise), latency * (1 + noise), "measured", 200)
    candidate = Candidate("dscnn", (), (8, 8, 1), (), quantization, structure)
    sizes = {"flash_bytes": Estimate.exact(1000.0), "peak_ram_bytes": Estimate.exact(500.0)}
    return Evaluation(candidate, s.targets[0].id, "short", "done", {"latency_ms": figure, **sizes})


@pytest.mark.parametrize(("ratio", "goes"), [(1.4, True), (0.8, False)])
def test_measured_pairs_decide_once_there_are_enough(ratio, goes):
    s = spec()
    rows = [measured(s, "fp32", f"net{i}", 1.0 + i) for i in range(4)]
    rows += [measured(s, "int8", f"net{i}", ratio * (1.0 + i)) for i in range(4)]
    found = unprofitable_measured(s, s.targets[0], rows)
    assert ("int8" in found) == goes
    assert not goes or "(measured)" in found["int8"]
    assert unprofitable_measured(s, s.targets[0], [*rows[:2], *rows[4:6]]) == {}
    predicted = [r for r in rows if r.candidate.quantization == "fp32"]
    assert unprofitable_measured(s, s.targets[0], predicted) == {}


def test_headroom_is_what_the_limits_leave():
    s = spec("{flash: {max: 100 KiB, reserved: 10 KiB, counts: model}, peak_ram: {max: 64 KiB, soft: true}}")
    metrics = {"flash_bytes": Estimate.exact(50 * 1024.0), "peak_ram_bytes": Estimate.exact(1024.0)}
    assert headroom(s, metrics) == (40 * 1024.0, float("inf"))
    assert headroom(s, {"flash_bytes": Estimate.exact(500 * 1024.0)})[0] == 0.0
