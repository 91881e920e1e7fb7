"""Claim: a candidate's workload takes under 1 ms, the costs of 1,000 candidates under 1 s, on one core.

The baseline is what tools without a network description do: build the torch module and export it to ONNX to count.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from advisor.network.description import Network
from advisor.network.to_workload import to_workload
from advisor.report.text import table
from advisor.space.search_space import SearchSpace, deployed_network, load_family, search_space
from cost_models.layered import LayeredModel
from specs.spec import parse_spec

COUNT = 1000
SPEC = """
schema: 1
name: speed
task: {kind: image-classification, data: digits}
targets: [stm32h743:tflm]
"""


def main() -> int:
    spec = parse_spec(SPEC)
    space = search_space(spec, spec.targets[0], ((32, 32, 3), (24, 24, 3)), 10)
    rng = random.Random(0)
    chosen = [sample(space, rng) for _ in range(COUNT)]
    networks, build_s = timed(lambda: [deployed(space, values) for values in chosen])
    each = []
    workloads = []
    for network in networks:
        start = time.perf_counter()
        workloads.append(to_workload(network, "int8"))
        each.append((time.perf_counter() - start) * 1e3)
    # as the search prices them: network, workload and costs of every candidate, nothing kept from before
    load_family("dscnn")
    _, whole_s = timed(lambda: LayeredModel().predict(
        [to_workload(deployed(space, values), "int8") for values in chosen], space.target))  # fmt: skip
    _, costs_s = timed(lambda: LayeredModel().predict(workloads, space.target))
    _, latency_s = timed(lambda: LayeredModel().latency_ms(workloads, space.target))
    _, single_s = timed(lambda: LayeredModel().predict(workloads[:1], space.target))
    traced_ms = statistics.median(export_ms(network) for network in networks[:3])
    rows = [
        {
            "what": "workload of one candidate, median",
            "value": statistics.median(each),
            "unit": "ms",
            "required": "< 1",
        },
        {"what": "workload of one candidate, slowest of 1,000", "value": max(each), "unit": "ms", "required": ""},
        {"what": "build and prune 1,000 networks", "value": build_s, "unit": "s", "required": ""},
        {
            "what": "latency with interval, batch",
            "value": COUNT / latency_s,
            "unit": "a second",
            "required": "> 20,000",
        },
        {"what": "all costs, itemised, batch", "value": COUNT / costs_s, "unit": "a second", "required": ""},
        {"what": "all costs of a single workload", "value": single_s * 1e3, "unit": "ms", "required": "< 1"},
        {"what": "costs of 1,000 workloads", "value": costs_s, "unit": "s", "required": "< 1"},
        {"what": "candidates to costs, 1,000", "value": whole_s, "unit": "s", "required": ""},
        {"what": "baseline: torch module to ONNX, one candidate", "value": traced_ms, "unit": "ms", "required": ""},
    ]
    if "--json" in sys.argv:
        print(json.dumps(rows))
    else:
        shown = [(r["what"], f"{r['value']:.3g} {r['unit']}", str(r["required"])) for r in rows]
        print(table(("what", "measured", "required"), shown))
    return 0


def sample(space: SearchSpace, rng: random.Random) -> dict[str, int | float | str]:
    values = {d.name: rng.choice(d.grid()) for d in space.common()}
    return values | {d.name: rng.choice(d.grid()) for d in space.dimensions(str(values["architecture"]))}


def deployed(space: SearchSpace, values: dict[str, int | float | str]) -> Network:
    network = deployed_network(space.candidate(values), space.classes)
    assert network is not None
    return network


def timed(work):  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def export_ms(network: Network) -> float:
    import torch

    from advisor.network.to_torch import to_torch

    height, width, channels = network.input_shape
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(to_torch(network).eval(), (torch.zeros(1, channels, height, width),),
                          str(Path(folder) / "m.onnx"), dynamo=False)  # fmt: skip
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    sys.exit(main())
