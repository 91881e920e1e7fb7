"""What a workload takes in flash or storage: the model file, exactly or by formula, and the runtime's code."""

from __future__ import annotations

from cost_models import stm32
from cost_models.estimate import Item
from cost_models.workload import Workload
from specs.chip import Target

METRIC = "flash_bytes"

# TFLite, by least squares over 53 published files of 6 KB to 1 MB (their names taken out): -6 to +12 % of the overhead
# for all but files of a few KB. Converters differ mostly in the length of tensor names.
TFLITE_FILE = 450
TFLITE_TENSOR = 94
TFLITE_OPERATOR = 69
TFLITE_NAME = (25, 60, 160)
"""Bytes of a tensor's name: renamed, as converters leave them, long fused names."""
TFLITE_METADATA = (0, 500, 2800)
"""Minimum runtime version, conversion metadata, signatures; the most with embedded parameters."""
TFLITE_CHANNEL = 24
"""Scale (4) and 64-bit zero point (8) of an output channel, once for the weights and once for the bias."""
TFLITE_CHANNEL_RANGE = 8
"""Minimum and maximum of a channel, which older converters keep."""

# ONNX: protobuf messages of a node and an initializer with names of usual length, and of an inferred shape
ONNX_FILE = 300
ONNX_NODE = (90, 190, 420)
ONNX_INITIALIZER = (40, 75, 150)
ONNX_QDQ_TENSOR = (260, 470, 900)
"""Quantize and dequantize nodes of an activation with their scale and zero point."""
ONNX_QDQ_CHANNEL = (5, 5, 10)
"""Scale (4) and 8-bit zero point (1) of a channel of the weights; the same once more for a quantized bias."""

NCNN_FILE = (200, 1000, 4000)
"""The graph's text without its layers, and four bytes before each weight."""
NCNN_LAYER = (50, 90, 140)

_WEIGHTED = ("conv", "dwconv", "dense", "recurrent", "matmul")
_CONSTANTS = {"conv": 2, "dwconv": 2, "dense": 2, "reshape": 1, "pad": 1, "mean": 1, "global-avg-pool": 1, "slice": 2,
              "transpose": 1, "resize": 1, "recurrent": 6}  # fmt: skip


def format_overhead_bytes(workload: Workload) -> tuple[int, int, int]:
    """What the file holds beside weights: low, likely, high."""
    operators = workload.operators
    constants = channels = dense_channels = 0
    for op in operators:
        constants += _CONSTANTS.get(op.kind, 0)
        if op.kind in _WEIGHTED and op.outputs:
            shape = workload.tensors[op.outputs[0]].shape
            channels += shape[-1] if shape else 1
            dense_channels += shape[-1] if shape and op.kind == "dense" else 0
    quantized = workload.precision == "int8"
    tensors = len(workload.tensors)
    if workload.format == "tflite":
        fixed = TFLITE_FILE + TFLITE_TENSOR * (tensors + constants) + TFLITE_OPERATOR * len(operators)
        low, likely, high = (
            fixed + name * (tensors + constants) + meta for name, meta in zip(TFLITE_NAME, TFLITE_METADATA, strict=True)
        )
        if quantized:
            # converters before 2024 give dense layers one scale
            low += int(0.9 * TFLITE_CHANNEL * (channels - dense_channels))
            likely += TFLITE_CHANNEL * channels
            high += (TFLITE_CHANNEL + TFLITE_CHANNEL_RANGE) * channels
        return int(0.85 * low), likely, int(1.05 * high)
    if workload.format == "ncnn":
        # text of a line a layer; int8 keeps two scales a layer and one a channel
        scales = 4 * channels + 8 * len(operators) if quantized else 0
        low, likely, high = (a + b * len(operators) + scales for a, b in zip(NCNN_FILE, NCNN_LAYER, strict=True))
        return low, likely, high
    ends = []
    for level in range(3):
        size = ONNX_FILE + ONNX_NODE[level] * len(operators) + ONNX_INITIALIZER[level] * constants
        if quantized:
            size += ONNX_QDQ_TENSOR[level] * tensors + ONNX_QDQ_CHANNEL[level] * channels
            size += (ONNX_NODE[level] + 2 * ONNX_INITIALIZER[level]) * constants
        ends.append(size)
    return ends[0], ends[1], ends[2]


def flash_items(workload: Workload, target: Target) -> tuple[Item, ...]:
    """The flash budget on a target: `model` (exact where the file exists) and `runtime`.

    X-CUBE-AI stores no file: its `model` is the weights, to the byte, and its `runtime` the kernels it links.
    """
    if target.runtime.id == stm32.ID:
        kept = workload.weight_bytes
        low, likely, high = stm32.code_bytes(workload)
        low = min(likely, max(low, target.runtime.flash_bytes[0]))  # less was never published
        return (Item(METRIC, "model", kept, kept, kept, "computed"),
                Item(METRIC, "runtime", low, likely, high, "predicted"))  # fmt: skip
    low, likely, high = target.runtime.flash_bytes
    runtime = Item(METRIC, "runtime", low, likely, high, "assumed")
    size = workload.file_bytes
    if size is not None:
        return Item(METRIC, "model", size, size, size, "computed"), runtime
    weights = workload.weight_bytes
    small, usual, large = format_overhead_bytes(workload)
    return Item(METRIC, "model", weights + small, weights + usual, weights + large, "computed"), runtime
