"""Which operators a runtime runs, as far as their names tell."""

from __future__ import annotations

from cost_models.memory import TFLM_FAMILY
from cost_models.read_tflite import CONTROL_FLOW, KINDS_BY_OP
from cost_models.workload import Workload
from specs.chip import RuntimeFacts

_TFLM = (
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS "
    "BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV "
    "DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED "
    "GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG "
    "LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG "
    "NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH "
    "SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV "
    "UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE TFLite_Detection_PostProcess CIRCULAR_BUFFER "
    "ETHOSU ethos-u"
)
TFLM_OPS = frozenset(_TFLM.split())
"""tflite-micro's micro_mutable_op_resolver.h."""
_LITERT = (
    "ATAN2 BITCAST BITWISE_XOR BUCKETIZE COMPLEX_ABS CONV_3D CONV_3D_TRANSPOSE DENSIFY DILATE EMBEDDING_LOOKUP_SPARSE "
    "GELU HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_LOOKUP HASHTABLE_SIZE IMAG LSH_PROJECTION MATRIX_DIAG "
    "MATRIX_SET_DIAG MULTINOMIAL NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 ONE_HOT RANDOM_STANDARD_NORMAL "
    "RANDOM_UNIFORM RANGE RANK REAL REDUCE_ALL REDUCE_ANY REVERSE_SEQUENCE RFFT2D RIGHT_SHIFT SCATTER_ND SEGMENT_SUM "
    "SELECT SIGN SKIP_GRAM SPARSE_TO_DENSE TILE TOPK_V2 UNIQUE UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_MIN "
    "UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_SUM WHERE STABLEHLO_COMPOSITE"
)
LITERT_OPS = TFLM_OPS | frozenset(_LITERT.split()) | frozenset(KINDS_BY_OP) | frozenset(CONTROL_FLOW)
"""What the LiteRT interpreter resolves without further libraries."""


def unsupported(workload: Workload, runtime: RuntimeFacts) -> tuple[str, ...]:
    """Names of operators (or of a precision) that keep the workload from running; empty where nothing is known to."""
    known = LITERT_OPS if runtime.id == "litert" else TFLM_OPS if runtime.id in TFLM_FAMILY else None
    found: dict[str, None] = {}
    for op in workload.operators:
        if not op.op:
            continue  # of our own making: built from what every runtime has
        if workload.format == "onnx":
            if "::" in op.op:
                found[op.op] = None  # of a domain no runtime brings along
        elif known is not None and op.op not in known:
            found[op.op] = None
        elif runtime.id in TFLM_FAMILY and _is_hybrid(workload, op.inputs, op.weight_bytes, op.params):
            found[f"{op.op} (8-bit weights, float activations)"] = None
    if runtime.precisions and workload.precision not in runtime.precisions:
        found[f"{workload.precision} arithmetic"] = None
    return tuple(found)


def _is_hybrid(workload: Workload, inputs: tuple[int, ...], weight_bytes: int, params: int) -> bool:
    return bool(inputs and params and weight_bytes < 2 * params and workload.tensors[inputs[0]].bits == 32)
