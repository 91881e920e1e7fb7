"""No candidate is better than the bounds: thousands of random ones over shapes, targets and quantizations."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from advisor import plugins
from advisor.candidate import Value
from advisor.feasibility import corners as module
from advisor.feasibility.bounds import best_cases, best_latency, format_of, power_floor_mw
from advisor.feasibility.corners import CHANNELS, corners
from advisor.network.description import Builder, Network, network_shape
from advisor.score import metrics_of
from advisor.space.families import Choice, Dimension, Ints, Params
from advisor.space.search_space import SearchSpace, load_family, search_space, workload_of
from advisor.tasks.peek import least
from cost_models.analytic import AnalyticModel
from specs import catalog
from specs.limits import METRICS
from specs.spec import Spec

LIMITS = (
    "peak_ram: {max: 1 GiB, counts: %s}, flash: {max: 1 GiB, counts: %s}, unit_cost: {max: 1 USD, volume: 1000}, "
    "battery: {min: 1 d, capacity: 100 mAh, voltage: 3 V, every: 1 s, sleep: 2 uA}"
)
TARGETS = (
    "stm32h743:tflm", "nrf52840:tflm", "stm32h743:stm32cube-ai", "esp32-s3:esp-nn", "raspberry-pi-4:litert",
    "raspberry-pi-4:onnxruntime", "raspberry-pi-5:ncnn", "coral:edgetpu", "corstone300-u55:vela", "host:onnxruntime",
)  # fmt: skip
SHAPES = (
    ((8, 8, 1),), ((96, 96, 3), (72, 72, 3), (48, 48, 3)), ((32, 32, 1), (24, 24, 1), (16, 16, 1)), ((9, 17, 3),),
    ((49, 10, 1),), ((64, 6),), ((7, 2),), ((1000, 1),),
)  # fmt: skip
EACH = 32
"""Random candidates for each pair of target and shapes, half of them for either way to count: 10 × 8 × 32 = 2,560."""


def sample(space: SearchSpace, rng: random.Random) -> dict[str, Value]:
    values: dict[str, Value] = {d.name: rng.choice(d.grid()) for d in space.common()}
    return values | {d.name: rng.choice(d.grid()) for d in space.dimensions(str(values["architecture"]))}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("counts", ["all", "model"])
def test_no_candidate_is_better_than_the_bounds(spec: Callable[..., Spec], name: str, counts: str) -> None:
    target, asked = catalog.target(name), spec(LIMITS % (counts, counts), name)
    rng = random.Random(name + counts)
    for shapes in SHAPES:
        space = search_space(asked, target, shapes, 3)
        best = best_cases(asked, space)
        for _ in range(EACH // 2):
            candidate = space.candidate(sample(space, rng))
            workload = workload_of(candidate, 3, target.runtime.id)
            assert workload is not None
            metrics = metrics_of(asked, target, AnalyticModel().predict([workload], target)[0])
            for metric, case in best.items():
                estimate = metrics.get(metric)
                if case.estimate.value is None or estimate is None or estimate.low is None or estimate.high is None:
                    continue
                if metric not in METRICS or METRICS[metric].sense == "max":
                    assert case.estimate.value <= estimate.low * (1 + 1e-12), (metric, candidate.describe())
                else:
                    assert case.estimate.value >= estimate.high * (1 - 1e-12), (metric, candidate.describe())


@pytest.mark.parametrize("family", sorted(CHANNELS))
def test_channel_dimensions_change_no_graph(family: str) -> None:
    """What the corners rest on: these dimensions move channels only, in multiples of 4, never down."""
    for shape in ((32, 32, 3), (8, 8, 1), (49, 10, 1), (64, 6)):
        if family == "mobilenet" and len(shape) == 2:
            continue
        built = load_family(family)
        dimensions = built.dimensions(shape)
        lowest = {d.name: d.grid()[0] for d in dimensions}
        for dimension in dimensions:
            if dimension.name not in CHANNELS[family]:
                continue
            before = None
            for value in dimension.grid():
                network = built.build(lowest | {dimension.name: value}, shape, 3)
                graph = [(la.kind, la.inputs, la.kernel, la.stride, la.dilation) for la in network.layers]
                outs = [la.out for la in network.layers]
                assert all(out % 4 == 0 for out in outs[:-1])
                if before:
                    assert graph == before[0]
                    assert all(now >= then for now, then in zip(outs, before[1], strict=True))
                before = graph, outs


def test_the_bound_is_reached_by_a_candidate(spec: Callable[..., Spec]) -> None:
    """Flash and RAM bounds are low ends of real candidates, not looser."""
    asked = spec(LIMITS % ("model", "model"))
    space = search_space(asked, asked.targets[0], ((32, 32, 1),), 4)
    for metric in ("flash_bytes", "peak_ram_bytes"):
        case = best_cases(asked, space)[metric]
        assert case.corner is not None
        assert case.corner.workload is not None
        costs = AnalyticModel().predict([case.corner.workload], space.target)[0]
        low = metrics_of(asked, space.target, costs)[metric].low
        assert low is not None
        assert case.estimate.value == pytest.approx(low, rel=0.02)


def test_the_smallest_input_bounds_every_data_set(spec: Callable[..., Spec]) -> None:
    asked = spec(LIMITS % ("all", "all"))
    tiny = least("image-classification")
    floor = best_cases(asked, search_space(asked, asked.targets[0], tiny.shapes, tiny.classes))
    for shapes in SHAPES[:4]:
        best = best_cases(asked, search_space(asked, asked.targets[0], shapes, 2))
        for metric in ("latency_ms", "peak_ram_bytes", "flash_bytes", "chip_ram_bytes"):
            low, here = floor[metric].estimate.value, best[metric].estimate.value
            assert low is not None
            assert here is not None
            assert low <= here, (metric, shapes)


def test_imported_networks_leave_the_runtime_alone(spec: Callable[..., Spec]) -> None:
    asked = spec(LIMITS % ("all", "all"), more='search: {architectures: [resnet, "timm:mobilenetv3_small_100"]}')
    target = asked.targets[0]
    best = best_cases(asked, search_space(asked, target, ((32, 32, 3),), 2))
    assert best["latency_ms"].estimate.value == 0
    assert best["latency_ms"].estimate.source == "assumed"
    assert best["flash_bytes"].estimate.value == target.runtime.flash_bytes[0]
    assert best["peak_ram_bytes"].estimate.value == target.runtime.ram_bytes[0]


def test_an_unknown_peak_leaves_latency_open(spec: Callable[..., Spec]) -> None:
    asked = spec(targets="snapdragon-888:qnn")
    space = search_space(asked, asked.targets[0], ((32, 32, 3),), 2)
    found = best_latency(corners(space, format_of(space.target)), space.target)
    assert found.estimate.value is None
    assert "unknown" in found.estimate.reason


def test_one_core_of_several_may_draw_less_than_all() -> None:
    board = catalog.target("raspberry-pi-4:litert")
    active, idle = board.chip.power_state("active"), board.chip.power_state("idle")
    assert active is not None
    assert idle is not None
    floor = power_floor_mw(board)
    assert floor is not None
    assert idle.low_mw <= floor < active.low_mw
    single = catalog.target("nrf52840:tflm")
    active = single.chip.power_state("active")
    assert active is not None
    assert power_floor_mw(single) == active.low_mw


class Odd:
    """A third-party family: more of `skip` is less network."""

    name, stages = "odd", 1

    def dimensions(self, shape: tuple[int, ...]) -> tuple[Dimension, ...]:
        return (Ints("skip", 0, 9), Choice("width", (40, 13, 8)))

    def build(self, params: Params, shape: tuple[int, ...], classes: int) -> Network:
        builder = Builder(self.name, network_shape(shape))
        for _ in range(10 - int(params["skip"])):
            builder.conv(int(params["width"]), 3)
        return builder.classifier(classes)


def test_third_party_families_are_enumerated(spec: Callable[..., Spec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.BUILTIN["architectures"], "odd", f"{__name__}:Odd")
    monkeypatch.setattr(plugins, "names", lambda kind: plugins.BUILTIN[kind])
    monkeypatch.setattr(plugins, "load", lambda kind, name: Odd)
    asked = spec(LIMITS % ("all", "all"))
    space = SearchSpace(asked.targets[0], ("odd",), ((16, 16, 1),), 3, (0.0, 0.5), ("int8",))
    found = corners(space, "tflite")
    assert len(found) == 10 * 3
    best = best_cases(asked, space)["flash_bytes"].corner
    assert best is not None
    assert dict(best.params) == {"skip": 9, "width": 8}
    monkeypatch.setattr(module, "MOST_NETWORKS", 29)
    space = SearchSpace(asked.targets[0], ("odd",), ((16, 17, 1),), 3, (0.0, 0.5), ("int8",))
    (opaque,) = corners(space, "tflite")
    assert opaque.workload is None
