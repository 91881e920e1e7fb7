"""Networks that no family of ours describes, as candidates: timm backbones and users' own files, trained and pruned."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from advisor import brought
from advisor.model import BuiltModel
from advisor.network.weights import Array, load_weights, save_weights
from advisor.own.fit import resized
from advisor.own.support import NOT_TRAINED
from advisor.tasks.base import Task
from advisor.training import FINETUNE_SHARE, Progress, Request, fit, input_shape, network_input, weights_file
from specs.errors import ToolchainError
from specs.search import OWN_MODEL

RATE, PRUNED_RATE = 1e-3, 3e-3
"""Learning rates of networks whose initialisation and depth are not ours to know, whole and after pruning: what is left
has to learn anew (digits, a convolutional network pruned by half: 90 % at the first rate, 95 % at the second)."""


def build_opaque(
    base: BuiltModel, request: Request, task: Task, progress: Progress
) -> tuple[BuiltModel, dict[str, Any], Array]:
    """`base` with the trained (and pruned) network, what is known of it, and the validation logits it is held to.

    Raises:
        ModelFileError, SpecError: the network cannot be had.
        ToolchainError: it cannot be pruned.
        TrainingFailedError: diverged, or out of memory.
    """
    candidate = request.candidate
    val = network_input(task, "val", candidate)
    if candidate.architecture.startswith(OWN_MODEL):
        model, details, reference = brought.build(base, candidate, request.folder, val)
        details["notes"] += filter(None, [resized(task.shape, candidate.shape)])
    else:
        model, details, reference = _backbone(base, request, task, progress, val)
    if not any(candidate.pruning):
        return model, details, reference
    if model.module is None:
        raise ToolchainError(NOT_TRAINED)
    from advisor.build.train import logits

    module, more = _pruned(model.module, request, task, progress)
    details = {**{f"parent_{key}": value for key, value in details.items() if key != "notes"}, **more,
               "notes": details.get("notes", [])}  # fmt: skip
    return replace(model, module=module), details, logits(module, val)


def _backbone(
    base: BuiltModel, request: Request, task: Task, progress: Progress, val: Array
) -> tuple[BuiltModel, dict[str, Any], Array]:
    import torch

    from advisor.build.opaque import timm_module
    from advisor.build.plans import PLANS
    from advisor.build.train import logits

    candidate = request.candidate
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        module, notes = timm_module(candidate.architecture, candidate.shape, len(task.classes))
    plan = replace(PLANS[request.fidelity], seed=request.seed, balanced=request.balanced, learning_rate=RATE)
    path = weights_file(request, candidate.structure.partition(">")[0], request.fidelity)
    details = _trained(module, path, lambda: fit(module, plan, request, task, lambda share: progress("train", share)))
    return replace(base, module=module), {**details, "notes": list(notes)}, logits(module, val)


def _pruned(module: Any, request: Request, task: Task, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """A pruned copy of the module, trained on with the whole one as its teacher; and facts of it."""
    from advisor.build.distill import frozen
    from advisor.build.opaque_prune import prune_module
    from advisor.build.plans import PLANS

    candidate = request.candidate
    small = prune_module(module, input_shape(candidate), len(task.classes), max(candidate.pruning))
    plan = PLANS[request.fidelity]
    plan = replace(plan, passes=int(plan.passes * FINETUNE_SHARE), seed=request.seed, balanced=request.balanced,
                   learning_rate=PRUNED_RATE)  # fmt: skip
    teacher = frozen(copy.deepcopy(module))
    path = weights_file(request, candidate.structure, request.fidelity)
    return small, _trained(
        small, path, lambda: fit(small, plan, request, task, lambda share: progress("prune", share), teacher)
    )


def _trained(module: Any, path: Path, train: Any) -> dict[str, Any]:
    """Weights from `path`, or from `train()` and kept there: trained once a run, whatever compressions share them."""
    import torch

    if path.is_file():
        stored = load_weights(path)
        details = {"validation": float(stored.pop("__validation")), "inherited": True}
        module.load_state_dict({key: torch.from_numpy(value) for key, value in stored.items()})
    else:
        done = train()
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {key: value.numpy() for key, value in module.state_dict().items()}
        save_weights(path, {**state, "__validation": np.asarray(done.validation)})
        details = {"validation": done.validation, "epochs": done.epochs, "seconds": done.seconds, "inherited": False}
    module.eval()
    return details
