"""The trainings of a candidate, each kept in the run's folder: the network as its family builds it, then as pruned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advisor import robustness
from advisor.candidate import Candidate
from advisor.evaluation import Fidelity
from advisor.network.description import Network, network_shape
from advisor.network.weights import Array, load_weights, save_weights
from advisor.space.search_space import deployed_network
from advisor.tasks.base import Split, Task

if TYPE_CHECKING:
    from advisor.build.distill import Teacher

FINETUNE_SHARE = 0.4
"""Training a pruned network gets, as a share of its parent's, at the same rate: at a third of it, networks that lost
half their channels end 3 to 10 points lower."""
_FITTED: tuple[Split, Split] = ("train", "val")

Progress = Callable[[str, float], None]
"""Called with a stage (`train`, `prune`, `export`) and the share of it that is done."""


@dataclass(frozen=True)
class Request:
    """What a worker is asked for. `folder` is the run's `artifacts/`; files go to `folder/CANDIDATE/FIDELITY`.

    `under` names the corruptions that robust accuracy is judged under; with `harden` training meets them too.
    `accuracy_drop` is what a compression may cost (`allowed_drop`); `headroom` the bytes of flash and of RAM that mixed
    precision may take beyond int8. `teacher` is a candidate of the run and the fidelity it was trained at: training
    follows its soft targets beside the labels, and does without where its weights are not there.
    """

    candidate: Candidate
    runtimes: tuple[str, ...]
    fidelity: Fidelity
    folder: Path
    seed: int
    balanced: bool
    under: tuple[str, ...] = ()
    harden: bool = False
    accuracy_drop: float = 0.01
    headroom: tuple[float, float] | None = None
    teacher: tuple[Candidate, Fidelity] | None = None


def trained(
    network: Network, request: Request, task: Task, progress: Progress, parent: tuple[Network, dict[str, Array]] | None
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Weights of `network`, trained once per run and fidelity whatever compressions share it, and facts of it.

    With `parent`, the network it was pruned from and that one's weights, training starts from what it inherits.
    """
    from advisor.build.plans import PLANS
    from advisor.network.to_torch import get_weights, to_torch
    from advisor.space.prune import prune_weights

    path = weights_file(request, request.candidate.structure if parent else network.id, request.fidelity)
    if path.is_file():
        stored = load_weights(path)
        kept = {"validation": float(stored.pop("__validation")), "epochs": int(stored.pop("__epochs"))}
        return stored, {**kept, "seconds": float(stored.pop("__seconds")), "inherited": True}
    height, width, _ = network.input_shape
    plan = replace(PLANS[request.fidelity].fitted(height * width), seed=request.seed, balanced=request.balanced)
    start = None
    if parent:
        plan = replace(plan, passes=int(plan.passes * FINETUNE_SHARE))
        start = prune_weights(*parent, network)
    module = to_torch(network, start, seed=request.seed)
    stage = "prune" if parent else "train"
    done = fit(module, plan, request, task, lambda share: progress(stage, share), teacher(request, task))
    weights = get_weights(module)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"__validation": done.validation, "__epochs": done.epochs, "__seconds": done.seconds}
    save_weights(path, {**weights, **{name: np.asarray(value) for name, value in facts.items()}})
    details = {"validation": done.validation, "epochs": done.epochs, "seconds": done.seconds, "inherited": False}
    return weights, details


def weights_file(request: Request, structure: str, fidelity: Fidelity) -> Path:
    """Where the trained weights of a structure are kept."""
    return request.folder / "weights" / f"{structure.replace('>', '-')}.{fidelity}.{request.seed}.npz"


def fit(
    module: Any, plan: Any, request: Request, task: Task, progress: Callable[[float], None],
    teacher: Teacher | None = None,
) -> Any:  # fmt: skip
    """Train a module on the task, `advisor.build.train.train`."""
    from advisor.build.train import train

    train_data, val_data = sets(task, request.candidate)
    return train(
        module, train_data, val_data, plan, task.kind, partial(score_value, task), progress,
        teacher_logits=teacher, copies=hardening(request, task),
    )  # fmt: skip


def teacher(request: Request, task: Task) -> Teacher | None:
    """The request's teacher, asked about samples in the candidate's input shape; None where it has none.

    Of another resolution, it is asked about the samples as they are, once.
    """
    if request.teacher is None:
        return None
    candidate, fidelity = request.teacher
    network = deployed_network(candidate, len(task.classes))
    path = weights_file(request, candidate.structure, fidelity)
    if network is None or not path.is_file() or candidate.structure == request.candidate.structure:
        return None
    from advisor.build.distill import frozen, reshaped
    from advisor.build.train import logits
    from advisor.network.to_torch import to_torch

    module = to_torch(network, {k: v for k, v in load_weights(path).items() if not k.startswith("__")})
    if prod(network.input_shape) == prod(input_shape(request.candidate)):
        return reshaped(frozen(module), network.input_shape)
    return logits(module, network_input(task, "train", candidate))


def hardening(request: Request, task: Task) -> tuple[Array, NDArray[np.int64]] | None:
    """Corrupted inputs for `advisor.build.train.train(copies=…)`, where the request asks for hardening."""
    if not request.harden:
        return None
    found = robustness.corrupted_copies(task, request.candidate.shape, request.under, request.seed)
    return None if found is None else (found[0].reshape(-1, *input_shape(request.candidate)), found[1])


def network_input(task: Task, split: Split, candidate: Candidate) -> Array:
    """A split's samples in the network's input shape (samples, H, W, C)."""
    x = task.load(split, candidate.shape).x
    return x.reshape(len(x), *input_shape(candidate))


def input_shape(candidate: Candidate) -> tuple[int, int, int]:
    """The network's input for a candidate, opaque or own."""
    return network_shape(candidate.shape, sequence=candidate.architecture == "tcn")


def score_value(task: Task, predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The task's metric as a number; -1 where it has none."""
    value = task.score(predicted, labels).value
    return -1.0 if value is None else value


def sets(task: Task, candidate: Candidate) -> tuple[Any, ...]:
    """Training and validation split, each inputs and class indexes."""
    return tuple((network_input(task, split, candidate), task.load(split, candidate.shape).y) for split in _FITTED)
