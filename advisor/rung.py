"""Evaluations that only rank: a candidate on a rung of the ladder below the exported artifact.

Runs inside a worker process, as `advisor.evaluate` does for the rungs that export.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from advisor.candidate import Candidate
from advisor.evaluate import Progress, Request, Result, build, evaluate, network_input
from advisor.evaluation import Evaluation, Fidelity
from advisor.network.weights import Array, load_weights, save_weights
from advisor.space.search_space import deployed_network, is_opaque
from advisor.tasks.base import Task
from advisor.untrained import evaluate_untrained
from cost_models.estimate import Estimate
from specs.search import OWN_MODEL

SCORE = "rank_score"
"""Metric of a `ranked` evaluation that stands for accuracy: the likelihood of the true classes. Comparable on one rung
only, and no accuracy: briefly trained networks are far below what they will reach."""


@dataclass(frozen=True)
class Ranking:
    """What a rung without export tells. `accuracy` is the float network's on validation, as trained so far."""

    fidelity: Fidelity
    score: Estimate
    accuracy: Estimate
    details: dict[str, Any] = field(default_factory=dict)
    """`rung_s`: seconds spent per rung's name; next to nothing where another candidate had trained the same network."""


def trained_network(candidate: Candidate) -> str:
    """The network that a candidate's full training begins with: candidates that share it share the training."""
    return candidate.structure.split(">")[0]


def evaluate_rung(request: Request, task: Task, progress: Progress) -> Ranking | list[Result]:
    """What a worker does with a request: a brief training (`fidelity` cheap), an export without any (none), a training
    alone (no runtimes), or training, export and judgement of the exported files."""
    if request.fidelity == "none":
        return evaluate_untrained(request, task, progress)
    if request.fidelity == "cheap":
        return evaluate_cheap(request, task, progress)
    return evaluate_exported(request, task, progress) if request.runtimes else evaluate_trained(request, task, progress)


def evaluate_cheap(request: Request, task: Task, progress: Progress) -> Ranking:
    """A brief training of the network as deployed (a pruned one from scratch); nothing is exported.

    Candidates that differ in quantization alone share the training; it is kept under `request.folder`.

    Raises:
        TrainingFailedError: the network cannot be trained.
    """
    started = time.monotonic()
    candidate = request.candidate
    name = candidate.structure.replace(">", "-").replace(":", "-").replace("@", "-").replace("/", "-")
    path = request.folder / "weights" / f"{name}.cheap.{request.seed}.npz"
    inherited = path.is_file()
    if inherited:
        stored = load_weights(path)
        found, seconds = stored["logits"], float(stored["__seconds"])
    else:
        found = _brief_logits(request, task, progress)
        seconds = time.monotonic() - started
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(path, {"logits": found, "__seconds": np.asarray(seconds)})
    details = {"inherited": inherited, "seconds": seconds, "rung_s": {"cheap": time.monotonic() - started}}
    return _ranking("cheap", found, request, task, details)


def evaluate_trained(request: Request, task: Task, progress: Progress) -> Ranking:
    """The training of `request.fidelity` in float, pruning included, without any export.

    Raises:
        TrainingFailedError: the network cannot be trained.
    """
    started = time.monotonic()
    _, details, reference = build(request, task, progress)
    details = {**details, "rung_s": {"trained": time.monotonic() - started}}
    return _ranking(request.fidelity, reference, request, task, details)


def evaluate_exported(request: Request, task: Task, progress: Progress) -> list[Result]:
    """`advisor.evaluate.evaluate`, the seconds of training and of all that follows told apart in `rung_s`."""
    started = time.monotonic()
    results = evaluate(request, task, progress)
    spent = time.monotonic() - started
    return [replace(result, details={**result.details, "rung_s": _split(result.details, spent)}) for result in results]


def _split(details: Mapping[str, Any], spent: float) -> dict[str, float]:
    trained = sum(
        float(details.get(f"{stage}seconds", 0.0)) for stage in ("", "parent_") if not details.get(f"{stage}inherited")
    )
    trained = min(trained, spent)
    return {"trained": trained, "artifact": spent - trained} if trained else {"artifact": spent}


def ranked(
    ranking: Ranking, candidate: Candidate, target: str, costs: Mapping[str, Estimate], trial: int | None
) -> Evaluation:
    """The ledger's row of a ranking; `costs` are the candidate's metrics before training."""
    metrics = {**costs, SCORE: ranking.score, "accuracy": Estimate.absent("not exported yet: ranked on a lower rung")}
    details = {**ranking.details, "float_accuracy": ranking.accuracy.to_dict()}
    return Evaluation(candidate, target, ranking.fidelity, "ranked", metrics, trial=trial, details=details)


def _brief_logits(request: Request, task: Task, progress: Progress) -> Array:
    from advisor.build.cheap import train_briefly
    from advisor.build.plans import PLANS
    from advisor.build.train import logits
    from advisor.network.to_torch import to_torch

    candidate = request.candidate
    if candidate.architecture.startswith(OWN_MODEL):
        return build(request, task, progress)[2]  # brought trained: what it answers is known without a training
    data = network_input(task, "train", candidate), task.load("train", candidate.shape).y
    plan = replace(PLANS["cheap"], seed=request.seed, balanced=request.balanced)
    if is_opaque(candidate.architecture):
        import torch

        from advisor.build.opaque import timm_module

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.seed)
            module, _ = timm_module(candidate.architecture, candidate.shape, len(task.classes))
        plan = replace(plan, learning_rate=1e-3)
    else:
        network = deployed_network(candidate, len(task.classes))
        assert network is not None  # noqa: S101 - own families always have one
        plan = plan.fitted(network.input_shape[0] * network.input_shape[1])
        module = to_torch(network, seed=request.seed)
    train_briefly(module, data, plan, task.kind, lambda share: progress("train", share))
    return logits(module, network_input(task, "val", candidate))


def _ranking(fidelity: Fidelity, found: Array, request: Request, task: Task, details: dict[str, Any]) -> Ranking:
    from advisor.build.cheap import likelihood

    labels = task.load("val", request.candidate.shape).y
    accuracy = task.score(np.asarray(found.argmax(1), np.int64), labels)
    return Ranking(fidelity, likelihood(found, labels, balanced=request.balanced), accuracy, details)
