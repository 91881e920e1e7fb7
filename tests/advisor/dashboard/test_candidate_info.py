import pytest

from advisor.dashboard.candidate_info import (
    figure_rows,
    layer_points,
    layer_rows,
    margin_rows,
    measurement_rows,
    network_rows,
    times,
)
from advisor.dashboard.info import suited_axis
from advisor.front import front, front_info
from advisor.space.search_space import deployed_network, workload_of
from cost_models.analytic import AnalyticModel
from cost_models.estimate import Costs, LayerCost
from cost_models.workload import Operator, Tensor, Workload
from specs import catalog


@pytest.fixture
def row(spec, evaluation):
    return front_info(spec, front(spec, [evaluation(8, 0.93, 4.0)]))["evaluations"][0]


def test_figures_with_unit_interval_and_provenance(row):
    rows = {entry["figure"]: entry for entry in figure_rows(row)}
    assert list(rows) == ["latency", "flash", "energy per inference", "accuracy", "multiply-accumulates"]
    assert rows["latency"] == {
        "figure": "latency",
        "value": "4 ms",
        "90 % interval": "2 ms to 8 ms",
        "provenance": "predicted",
        "samples": "",
    }
    assert rows["flash"]["90 % interval"] == "exact"
    assert rows["energy per inference"]["value"] == "unknown"
    assert rows["energy per inference"]["provenance"] == "no power states"
    assert rows["accuracy"]["samples"] == "300"


def test_limits_with_margin_and_verdict(row, spec):
    rows = margin_rows(row, spec)
    assert [(entry["limit"], entry["margin"], entry["verdict"]) for entry in rows] == [
        ("latency p95 ≤ 10 ms", "31.4 % to spare", "met"),
        ("flash of the model alone ≤ 100 KiB", "92 % to spare", "met"),
        ("accuracy ≥ 0.9", "0.03 to spare", "met"),
    ]


def _workload() -> Workload:
    tensors = (Tensor((8, 8, 1), 8), Tensor((8, 8, 4), 8), Tensor((10,), 8))
    conv = Operator("conv", "stem", (0,), (1,), macs=2304, kernel=(3, 3), stride=(1, 1))
    odd = Operator("other", "x", (1,), (2,), op="MAGIC")
    return Workload("w", tensors, (conv, odd), (0,), (2,), "int8")


def test_layers_with_their_costs():
    layers = (
        LayerCost("stem", "conv", 2304, 356, 0.03, "compute"),
        LayerCost("x", "other", 0, 266, 0.01, "memory"),
    )
    rows = layer_rows(_workload(), Costs({}, layers=layers))
    assert rows[0] == {
        "layer": "1 stem",
        "kind": "conv",
        "kernel": "3×3",
        "stride": "1×1",
        "output": "8×8×4",
        "multiply-accumulates": "2.3 k",
        "bytes moved": "356 B",
        "latency_ms": 0.03,
        "latency": "30 us",
        "share": "75.0 %",
        "held back by": "compute",
    }
    assert (rows[1]["kind"], rows[1]["kernel"], rows[1]["multiply-accumulates"]) == ("other: MAGIC", "", "0")
    points = layer_points(rows, suited_axis("latency_ms", 0.03))
    assert [(point["cost"], point["bound"]) for point in points] == [(pytest.approx(30.0), "compute"), (10.0, "memory")]


def test_layers_of_a_target_whose_latency_is_unknown():
    layers = (LayerCost("stem", "conv", 2304, 356, None, "unknown"), LayerCost("x", "other", 0, 266, None, "unknown"))
    rows = layer_rows(_workload(), Costs({}, layers=layers))
    assert [(row["latency"], row["share"]) for row in rows] == [("unknown", ""), ("unknown", "")]
    assert layer_points(rows, suited_axis("latency_ms", 0.0)) == []


def test_every_operator_of_a_true_candidate_is_priced(candidate):
    workload = workload_of(candidate(8), 10, "onnxruntime")
    rows = layer_rows(workload, AnalyticModel().explain(workload, catalog.target("stm32h743:tflm")))
    assert len(rows) == len(workload.operators)
    assert sum(float(row["share"].removesuffix(" %")) for row in rows) == pytest.approx(100, abs=1)


def test_layers_of_the_architecture(candidate):
    rows = network_rows(deployed_network(candidate(8), 10))
    assert rows[0] == {
        "layer": "conv0",
        "kind": "conv",
        "reads": "input",
        "kernel": "3×3",
        "stride": "1×1",
        "activation": "relu",
        "output": "8×8×8",
    }
    assert rows[-1]["kind"] == "dense"
    assert rows[-1]["output"] == "1×1×10"
    assert rows[-1]["kernel"] == ""


def test_measurements_with_their_conditions():
    print_ = {
        "cpu": "Cortex-A72",
        "system": "Linux",
        "clock_hz": 1.5e9,
        "governor": "performance",
        "versions": {"a": "1"},
    }
    good = {"count": 300, "quantiles_ms": {"p50": 1.5, "p95": 2.0}, "protocol": "1 thread", "fingerprint": print_}
    bad = {"error": "it crashed", "fingerprint": None}
    assert measurement_rows([good, bad]) == [
        {
            "runs": "300",
            "p50": "1.5 ms",
            "p95": "2 ms",
            "p99": "unknown",
            "state": "steady",
            "protocol": "1 thread",
            "machine": "Cortex-A72, Linux",
            "clock": "1.5 GHz",
            "governor": "performance",
            "versions": "a 1",
        },
        {
            "runs": "0",
            "p50": "unknown",
            "p95": "unknown",
            "p99": "unknown",
            "state": "failed: it crashed",
            "protocol": "",
            "machine": "",
            "clock": "unknown",
            "governor": "unknown",
            "versions": "",
        },
    ]
    assert measurement_rows([{"noisy": True}])[0]["state"] == "noisy: processes disagree, or other work ran beside"


def test_shapes_in_words():
    assert times((8, 8, 1)) == "8×8×1"
    assert times(()) == ""
