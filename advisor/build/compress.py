"""Compression beyond an exporter's own: int8 fine-tuned for its rounding, and mixed precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from advisor.build.plans import TrainPlan
from advisor.model import BuiltModel
from advisor.network.weights import load_weights, save_weights
from specs.errors import ToolchainError
from specs.spec import Spec, TaskKind

R = TypeVar("R")

DEFAULT_DROP = 0.01
"""Accuracy a compression may cost where the spec does not say."""
SCHEMES = {"onnxruntime": "onnx", "litert": "tflite", "tflm": "tflite"}
"""Whose grids a runtime's int8 files have; see `fake_quant`."""
TUNED = ("int8-qat", "mixed")
"""Recipes that need a runtime whose rounding is known."""


@dataclass(frozen=True)
class Setting:
    """What compressing a model needs beside it: the sets it was trained on, by which plan, and what may be lost."""

    sets: tuple[Any, ...]
    """Training and validation split, each inputs and class indexes."""
    plan: TrainPlan
    kind: TaskKind
    score: Callable[[Any, Any], float]
    stem: Path
    """Where fine-tuned weights are kept, without suffix: two recipes of one network fine-tune once."""
    allowed_drop: float
    headroom: tuple[float, float] | None = None
    """Bytes of flash and of RAM that int8 leaves of the limits; None: not limited."""
    progress: Callable[[float], None] | None = None
    copies: Callable[[], Any] = lambda: None
    """Corrupted inputs to train on beside the others, where training was hardened; see `advisor.build.train.train`."""


def allowed_drop(spec: Spec) -> float:
    """The accuracy a compression may cost under this spec."""
    limit = spec.limit("accuracy_drop")
    return DEFAULT_DROP if limit is None else limit.bound


def loses_too_much(float_accuracy: float | None, int8_accuracy: float | None, allowed: float) -> bool:
    """The rule by which post-training int8 is followed by fine-tuning: it lost more than `allowed`."""
    if float_accuracy is None or int8_accuracy is None:
        return False
    return float_accuracy - int8_accuracy > allowed + 1e-9


def finetuned(model: BuiltModel, runtime: str, setting: Setting) -> tuple[BuiltModel, dict[str, Any]]:
    """The model with weights fine-tuned for the int8 file of `runtime`, to be exported as int8; and facts of it.

    Raises:
        ToolchainError: a file that cannot be trained, or a runtime whose rounding is not known.
        TrainingFailedError: diverged, or out of memory.
    """
    if model.network is None and model.module is not None:
        return _finetuned_module(model, setting)
    scheme = _scheme(model, runtime)
    assert model.network is not None  # noqa: S101 - `_scheme` refuses others
    path = setting.stem.with_name(f"{setting.stem.name}.qat-{scheme}.npz")
    if path.is_file():
        weights = load_weights(path)
        before, after, seconds = (float(weights.pop(f"__{name}")) for name in ("before", "after", "seconds"))
    else:
        from advisor.build.qat import finetune

        train_data, val_data = setting.sets
        done = finetune(model.network, model.weights, model.calibration, scheme, train_data, val_data, setting.plan,
                        setting.kind, setting.score, setting.progress, setting.copies())  # fmt: skip
        weights, before, after, seconds = done.weights, done.before, done.after, done.seconds
        facts = {"__before": before, "__after": after, "__seconds": seconds}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(path, {**weights, **{name: np.asarray(value) for name, value in facts.items()}})
    return replace(model, weights=weights), {"qat_before": before, "qat_after": after, "qat_seconds": seconds}


def mixed(model: BuiltModel, runtime: str, setting: Setting) -> tuple[BuiltModel, dict[str, Any]]:
    """The model with `LAYER.bits` = 32 among its weights for every layer its export keeps in float; and facts of it.

    Of networks that are not ours the exporter chooses, by `tolerance` and `flash_headroom`.

    Raises:
        ToolchainError: a runtime that cannot mix.
    """
    from advisor.build.sensitivity import Budget, choose_float

    if model.network is None:
        flash = math.inf if setting.headroom is None else setting.headroom[0]
        return replace(model, tolerance=setting.allowed_drop, flash_headroom=flash), {}
    scheme = _scheme(model, runtime)
    assert model.network is not None  # noqa: S101 - `_scheme` refuses others
    if runtime == "tflm":
        return model, {}  # no layer in float there: its exporter widens activations instead, and says so
    budget = Budget() if setting.headroom is None else Budget(*setting.headroom)
    found = choose_float(model.network, model.weights, model.calibration, scheme, setting.allowed_drop, budget)
    bits = {f"{name}.bits": np.asarray(32, np.float32) for name in found.floating}
    share = f"{found.float_macs * 100:.0f} % of the multiply-accumulates"
    note = (
        f"in float, {share}: {', '.join(found.floating)}" if found.floating
        else "no layer stands out within the budget: the same as int8"
    )  # fmt: skip
    facts = {"mixed_float_layers": list(found.floating), "mixed_float_macs": found.float_macs}
    return replace(model, weights={**model.weights, **bits}), {**facts, "notes": [note]}


def compress_and_judge(
    model: BuiltModel, runtime: str, setting: Setting, float_accuracy: float | None,
    judge: Callable[[BuiltModel, dict[str, Any], str], R], accuracy: Callable[[R], float | None],
) -> R:  # fmt: skip
    """What `judge(model, facts, variant)` makes of the model's recipe; of plain int8 that lost too much, the better of
    it and its fine-tuned variant.

    Raises:
        ToolchainError: a recipe that this model or runtime cannot have.
        TrainingFailedError: the recipe is fine-tuning, and that failed.
    """
    if model.quantization == "mixed":
        return judge(*mixed(model, runtime, setting), "")
    if model.quantization == "int8-qat":
        return judge(*finetuned(model, runtime, setting), "")
    plain = judge(model, {}, "")
    reached = accuracy(plain)
    trainable = model.network is not None or model.module is not None
    able = model.quantization == "int8" and trainable and runtime in SCHEMES
    if not able or not loses_too_much(float_accuracy, reached, setting.allowed_drop):
        return plain
    from advisor.build.train import TrainingFailedError

    try:
        tuned, facts = finetuned(model, runtime, setting)
    except TrainingFailedError:
        return plain
    note = f"post-training int8 reached {reached:.4f} where float reaches {float_accuracy:.4f}: fine-tuned for int8"
    again = judge(tuned, {**facts, "post_training_accuracy": reached, "notes": [note]}, "finetuned")
    better = accuracy(again)
    return again if better is not None and reached is not None and better > reached else plain


def _finetuned_module(model: BuiltModel, setting: Setting) -> tuple[BuiltModel, dict[str, Any]]:
    import copy

    import torch

    path = setting.stem.with_name(f"{setting.stem.name}.qat.npz")
    if path.is_file():
        module = copy.deepcopy(model.module)
        state = load_weights(path)
        facts = {name: float(state.pop(f"__{name}")) for name in ("before", "after", "seconds")}
        module.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    else:
        from advisor.build.opaque_qat import finetune_module

        train_data, val_data = setting.sets
        module, facts = finetune_module(model.module, model.calibration, train_data, val_data, setting.plan,
                                        setting.kind, setting.score, setting.progress, setting.copies())  # fmt: skip
        state = {key: value.numpy() for key, value in module.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(path, {**state, **{f"__{name}": np.asarray(value) for name, value in facts.items()}})
    return replace(model, module=module), {f"qat_{name}": value for name, value in facts.items()}


def _scheme(model: BuiltModel, runtime: str) -> Any:
    if model.network is None:
        raise ToolchainError(f"{model.quantization} needs a network that can be trained", allowed="fp32, int8, mixed")
    if runtime not in SCHEMES:
        raise ToolchainError(f"{model.quantization}: how {runtime} rounds is not known", allowed=", ".join(SCHEMES))
    return SCHEMES[runtime]
