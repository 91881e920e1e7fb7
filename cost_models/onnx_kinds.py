"""ONNX operators by the kinds of `workload.KINDS`, and what onnxruntime fuses."""

from __future__ import annotations

KIND_OF = {
    "conv": "Conv ConvTranspose QLinearConv ConvInteger FusedConv DeformConv",
    "dense": "Gemm QGemm FusedGemm",
    "matmul": "MatMul QLinearMatMul MatMulInteger FusedMatMul Einsum",
    "avg-pool": "AveragePool QLinearAveragePool LpPool",
    "max-pool": "MaxPool",
    "global-avg-pool": "GlobalAveragePool QLinearGlobalAveragePool GlobalMaxPool GlobalLpPool",
    "add": "Add Sub Sum QLinearAdd",
    "mul": "Mul Div QLinearMul Pow Max Min Mod Where",
    "activation": "Relu Clip Sigmoid Tanh LeakyRelu PRelu Elu Selu Celu Gelu FastGelu HardSigmoid HardSwish Swish "
    "Softplus Softsign ThresholdedRelu Mish QLinearSigmoid QLinearLeakyRelu Abs Neg Exp Log Sqrt Reciprocal Erf Floor "
    "Ceil Round Sign Sin Cos Not",
    "softmax": "Softmax LogSoftmax Hardmax QLinearSoftmax",
    "reshape": "Reshape Flatten Squeeze Unsqueeze Shape Size Identity Dropout",
    "transpose": "Transpose DepthToSpace SpaceToDepth",
    "pad": "Pad",
    "concat": "Concat QLinearConcat",
    "resize": "Resize Upsample",
    "quantize": "QuantizeLinear DequantizeLinear DynamicQuantizeLinear Cast CastLike",
    "mean": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL2 ReduceL1 ReduceSumSquare ReduceLogSumExp",
    "norm": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization "
    "SkipLayerNormalization LRN LpNormalization MeanVarianceNormalization",
    "slice": "Slice Split Gather GatherElements GatherND Expand Tile",
    "embedding": "",
    "recurrent": "LSTM GRU RNN",
}
KINDS_BY_OP = {op: kind for kind, ops in KIND_OF.items() for op in ops.split()}
WEIGHT_AT = {"Conv": 1, "ConvTranspose": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3, "Gemm": 1, "QGemm": 3,
             "FusedGemm": 1, "MatMul": 1, "FusedMatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3, "LSTM": 1, "GRU": 1,
             "RNN": 1}  # fmt: skip
"""Which input the weights are."""
QUANTIZATION_AT = {"QLinearConv": (1, 2, 4, 5, 6, 7), "QLinearMatMul": (1, 2, 4, 5, 6, 7), "ConvInteger": (2, 3),
                   "MatMulInteger": (2, 3), "QLinearAdd": (1, 2, 4, 5, 6, 7), "QLinearMul": (1, 2, 4, 5, 6, 7),
                   "QGemm": (1, 2, 4, 5, 7, 8), "QLinearGlobalAveragePool": (1, 2, 3, 4),
                   "QLinearAveragePool": (1, 2, 3, 4), "QLinearConcat": (0, 1), "QLinearSigmoid": (1, 2, 3, 4),
                   "Clip": (1, 2), "HardSigmoid": ()}  # fmt: skip
"""Inputs that are scales, zero points or bounds: not parameters."""
FUSED_ACTIVATIONS = {"Relu": "relu", "Clip": "clip", "Sigmoid": "sigmoid", "Tanh": "tanh", "LeakyRelu": "leaky_relu",
                     "HardSigmoid": "hard_sigmoid"}  # fmt: skip
"""What onnxruntime's ConvActivationFusion and GemmActivationFusion take in."""
CLASSIC = ("SVMClassifier", "SVMRegressor", "LinearClassifier", "LinearRegressor")
"""Models of ai.onnx.ml whose numbers lie in attributes and are all met once for an input."""
STANDARD_DOMAINS = ("", "ai.onnx", "com.microsoft", "ai.onnx.ml", "com.ms.internal.nhwc")
"""Domains onnxruntime brings along."""
