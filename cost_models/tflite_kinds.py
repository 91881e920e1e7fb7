"""TFLite operators by the kinds of `workload.KINDS`, element types and activations by schema.fbs' numbers."""

from __future__ import annotations

ACTIVATIONS = ("", "relu", "relu_n1_to_1", "relu6", "tanh", "sign")
"""By the number of schema.fbs' ActivationFunctionType."""
BITS = (32, 16, 32, 8, 64, 8, 8, 16, 64, 8, 64, 128, 64, 32, 32, 32, 16, 4, 16, 2, 4, 8, 8)
"""Bits of an element by the number of schema.fbs' TensorType."""
INDEX_TYPES = (2, 4, 5, 6, 12, 13, 14, 15)
"""Integers, strings, handles: constants of these types are axes, shapes, paddings; not parameters."""
QUANTIZED_BIAS_KINDS = ("conv", "dwconv", "dense", "recurrent")
"""Kinds whose int32 and int64 constants are biases."""
KIND_OF = {
    "conv": "CONV_2D CONV_3D TRANSPOSE_CONV CONV_3D_TRANSPOSE",
    "dwconv": "DEPTHWISE_CONV_2D",
    "dense": "FULLY_CONNECTED",
    "avg-pool": "AVERAGE_POOL_2D L2_POOL_2D",
    "max-pool": "MAX_POOL_2D",
    "add": "ADD SUB ADD_N SQUARED_DIFFERENCE",
    "mul": "MUL DIV MAXIMUM MINIMUM POW FLOOR_DIV FLOOR_MOD",
    "activation": "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LEAKY_RELU PRELU ELU GELU LOGISTIC TANH HARD_SWISH ABS NEG EXP "
    "LOG SQRT RSQRT SQUARE SIN COS FLOOR CEIL ROUND SIGN",
    "softmax": "SOFTMAX LOG_SOFTMAX",
    "reshape": "RESHAPE SQUEEZE EXPAND_DIMS BITCAST SHAPE RANK",
    "transpose": "TRANSPOSE DEPTH_TO_SPACE SPACE_TO_DEPTH SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND REVERSE_V2",
    "pad": "PAD PADV2 MIRROR_PAD",
    "concat": "CONCATENATION PACK",
    "resize": "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR",
    "quantize": "QUANTIZE DEQUANTIZE FAKE_QUANT CAST",
    "mean": "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD",
    "norm": "L2_NORMALIZATION LOCAL_RESPONSE_NORMALIZATION",
    "matmul": "BATCH_MATMUL",
    "slice": "SLICE STRIDED_SLICE SPLIT SPLIT_V UNPACK GATHER GATHER_ND TILE BROADCAST_TO",
    "embedding": "EMBEDDING_LOOKUP",
    "recurrent": "UNIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_LSTM LSTM RNN SVDF UNIDIRECTIONAL_SEQUENCE_RNN "
    "BIDIRECTIONAL_SEQUENCE_RNN",
}
KINDS_BY_OP = {op: kind for kind, ops in KIND_OF.items() for op in ops.split()}
CONTROL_FLOW = ("IF", "WHILE", "CALL", "CALL_ONCE")
