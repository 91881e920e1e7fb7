"""Small real things that several tests build from."""

from advisor.evaluation import Evaluation
from advisor.space.search_space import make_candidate
from cost_models.estimate import Estimate

DIGITS = """
schema: 1
name: small
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
limits:
  latency: {max: 5 ms}
  flash: {max: 100 KiB, counts: model}
  accuracy: {min: 0.5}
objectives: [accuracy, latency]
search: {trials: 4, time: 60 s, measurements: 4, architectures: [dscnn], quantization: [fp32, int8], pruning: [0]}
"""


def candidate(width=8, quantization="int8", depth=2, **changes):
    params = {"width": width, "depth": depth, "kernel": 3, "stem_stride": 1, "growth": 1, **changes}
    return make_candidate("dscnn", tuple(sorted(params.items())), (8, 8, 1), (0.0, 0.0), quantization, 10)


def evaluation(
    width=8, accuracy=0.9, latency_ms=1.0, *, status="done", fidelity="short", target="host:onnxruntime", **more
):
    metrics = {
        "accuracy": Estimate(accuracy, accuracy - 0.02, accuracy + 0.02, "measured", 200),
        "latency_ms": Estimate(latency_ms, latency_ms * 0.9, latency_ms * 1.1, "measured", 100),
        "peak_ram_bytes": Estimate.exact(10_000.0),
        "flash_bytes": Estimate.exact(20_000.0),
        "energy_mj": Estimate.absent("no power states"),
        "macs": Estimate.exact(1000.0 * width),
        "model_bytes": Estimate.exact(20_000.0),
    }
    return Evaluation(candidate(width), target, fidelity, status, metrics, **more)
