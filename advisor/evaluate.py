"""One candidate, evaluated: train (or inherit), prune, export for every runtime, judge the exported files.

Runs inside a worker process: whatever happens here is an outcome, never the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor import plugins
from advisor.candidate import Candidate
from advisor.evaluation import Fidelity
from advisor.model import Artifact, BuiltModel, Runtime
from advisor.network.description import Network, network_shape
from advisor.network.weights import Array, fold, load_weights, save_weights
from advisor.space.prune import prune_weights
from advisor.space.search_space import deployed_network, is_opaque, network_of
from advisor.tasks.base import Split, Task
from cost_models.estimate import Estimate
from specs.errors import AdvisorError

CALIBRATION_SAMPLES = 200
FINETUNE_SHARE = 0.4
"""Training a pruned network gets, as a share of its parent's."""

_FITTED: tuple[Split, Split] = ("train", "val")

Progress = Callable[[str, float], None]
"""Called with a stage (`train`, `prune`, `export`) and the share of it that is done."""


@dataclass(frozen=True)
class Request:
    """What a worker is asked for. `folder` is the run's `artifacts/`; files go to `folder/CANDIDATE/FIDELITY`."""

    candidate: Candidate
    runtimes: tuple[str, ...]
    fidelity: Fidelity
    folder: Path
    seed: int
    balanced: bool


@dataclass(frozen=True)
class Result:
    """What one runtime made of the candidate. `accuracy` is the exported file's, on the validation split."""

    runtime: str
    artifact: Artifact | None
    accuracy: Estimate
    arena_bytes: int | None = None
    error: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def evaluate(request: Request, task: Task, progress: Progress) -> list[Result]:
    """One result a runtime, in order.

    Raises:
        TrainingFailedError: the float network cannot be trained; concerns every runtime.
    """
    model, details, reference = build(request, task, progress)
    val = network_input(task, "val", request.candidate)
    labels = task.load("val", request.candidate.shape).y
    results = []
    for i, name in enumerate(request.runtimes):
        progress("export", i / len(request.runtimes))
        results.append(_export(name, model, request, val, labels, reference, details, task))
    return results


def build(request: Request, task: Task, progress: Progress) -> tuple[BuiltModel, dict[str, Any], Array]:
    """The trained (and pruned) model, what is known of it, and the float network's validation logits."""
    candidate = request.candidate
    rng = np.random.default_rng(request.seed)
    data = network_input(task, "train", candidate)
    chosen = rng.permutation(len(data))[:CALIBRATION_SAMPLES]
    base = BuiltModel(
        name="model",
        input_shape=data.shape[1:],
        classes=task.classes,
        quantization=candidate.quantization,
        calibration=np.ascontiguousarray(data[chosen]),
    )
    if is_opaque(candidate.architecture):
        return _build_opaque(base, request, task, progress)
    return _build_own(base, request, task, progress)


def network_input(task: Task, split: Split, candidate: Candidate) -> Array:
    """A split's samples in the network's input shape (samples, H, W, C)."""
    x = task.load(split, candidate.shape).x
    return x.reshape(len(x), *input_shape(candidate))


def input_shape(candidate: Candidate) -> tuple[int, int, int]:
    """The network's input for a candidate, opaque or own."""
    return network_shape(candidate.shape, sequence=candidate.architecture == "tcn")


def _build_own(
    base: BuiltModel, request: Request, task: Task, progress: Progress
) -> tuple[BuiltModel, dict[str, Any], Array]:
    from advisor.build.train import logits
    from advisor.network.to_torch import to_torch

    candidate = request.candidate
    classes = len(task.classes)
    parent = network_of(candidate.architecture, candidate.params, candidate.shape, classes)
    weights, details = _trained(parent, request, task, progress, "train", None)
    network = deployed_network(candidate, classes)
    assert network is not None  # noqa: S101 - own families always have one
    if network is not parent:
        start = prune_weights(parent, weights, network)
        weights, more = _trained(network, request, task, progress, "prune", start)
        details = {**{f"parent_{key}": value for key, value in details.items()}, **more}
    module = to_torch(network, weights).eval()
    reference = logits(module, network_input(task, "val", candidate))
    return replace(base, network=network, weights=fold(network, weights)), details, reference


def _trained(
    network: Network, request: Request, task: Task, progress: Progress, stage: str, start: dict[str, Array] | None
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Weights of `network`, trained once per run and fidelity whatever compressions share it."""
    from advisor.build.plans import PLANS
    from advisor.network.to_torch import get_weights, to_torch

    candidate = request.candidate
    key = f"{network.id}" if start is None else candidate.structure.replace(">", "-")
    path = request.folder / "weights" / f"{key}.{request.fidelity}.{request.seed}.npz"
    if path.is_file():
        stored = load_weights(path)
        kept = {"validation": float(stored.pop("__validation")), "epochs": int(stored.pop("__epochs"))}
        return stored, {**kept, "seconds": float(stored.pop("__seconds")), "inherited": True}
    height, width, _ = network.input_shape
    plan = replace(PLANS[request.fidelity].fitted(height * width), seed=request.seed, balanced=request.balanced)
    if start is not None:
        plan = replace(plan, passes=int(plan.passes * FINETUNE_SHARE), learning_rate=plan.learning_rate / 3)
    module = to_torch(network, start, seed=request.seed)
    done = _fit(module, plan, candidate, task, lambda share: progress(stage, share))
    weights = get_weights(module)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"__validation": done.validation, "__epochs": done.epochs, "__seconds": done.seconds}
    save_weights(path, {**weights, **{name: np.asarray(value) for name, value in facts.items()}})
    details = {"validation": done.validation, "epochs": done.epochs, "seconds": done.seconds, "inherited": False}
    return weights, details


def _fit(module: Any, plan: Any, candidate: Candidate, task: Task, progress: Callable[[float], None]) -> Any:
    from advisor.build.train import train

    sets = [(network_input(task, split, candidate), task.load(split, candidate.shape).y) for split in _FITTED]
    score = partial(score_value, task)
    return train(module, sets[0], sets[1], plan, task.kind, score, lambda share, _best: progress(share))


def _build_opaque(
    base: BuiltModel, request: Request, task: Task, progress: Progress
) -> tuple[BuiltModel, dict[str, Any], Array]:
    import torch

    from advisor.build.opaque import timm_module
    from advisor.build.plans import PLANS
    from advisor.build.train import logits

    candidate = request.candidate
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        module, notes = timm_module(candidate.architecture, candidate.shape, len(task.classes))
    name = candidate.structure.replace(":", "-").replace("@", "-").replace("/", "-")
    path = request.folder / "weights" / f"{name}.{request.fidelity}.{request.seed}.npz"
    details: dict[str, Any] = {"notes": list(notes)}
    if path.is_file():
        stored = load_weights(path)
        details |= {"validation": float(stored.pop("__validation")), "inherited": True}
        module.load_state_dict({key: torch.from_numpy(value) for key, value in stored.items()})
    else:
        plan = replace(PLANS[request.fidelity], seed=request.seed, balanced=request.balanced, learning_rate=1e-3)
        done = _fit(module, plan, candidate, task, lambda share: progress("train", share))
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {key: value.numpy() for key, value in module.state_dict().items()}
        save_weights(path, {**state, "__validation": np.asarray(done.validation)})
        details |= {"validation": done.validation, "epochs": done.epochs, "seconds": done.seconds, "inherited": False}
    module.eval()
    reference = logits(module, network_input(task, "val", candidate))
    return replace(base, module=module), details, reference


def _export(
    name: str, model: BuiltModel, request: Request, val: Array, labels: NDArray[np.int64], reference: Array,
    details: dict[str, Any], task: Task,
) -> Result:  # fmt: skip
    runtime: Runtime = plugins.load("runtimes", name)()
    folder = request.folder / request.candidate.id / request.fidelity / name
    try:
        artifact = runtime.export(model, folder)
        session = runtime.open(artifact)
        try:
            found = session.run(val)
            arena = session.arena_bytes()
        finally:
            session.close()
    except AdvisorError as error:
        return Result(name, None, Estimate.absent(str(error)), error=str(error), details=details)
    accuracy = task.score(np.asarray(found.argmax(1), np.int64), labels)
    compared = {
        "sqnr_db": sqnr_db(reference, found),
        "agreement": float((found.argmax(1) == reference.argmax(1)).mean()),
    }
    notes = [*details.get("notes", []), *artifact.notes]
    return Result(name, artifact, accuracy, arena, details={**details, **compared, "notes": notes})


def score_value(task: Task, predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    value = task.score(predicted, labels).value
    return -1.0 if value is None else value


def sqnr_db(reference: Array, found: Array) -> float:
    """Signal to quantization noise of the logits in dB: 10·log10(Σ reference² / Σ (reference − found)²)."""
    noise = float(np.sum((reference.astype(np.float64) - found) ** 2))
    signal = float(np.sum(reference.astype(np.float64) ** 2))
    return 200.0 if noise == 0 else float(10 * np.log10(max(signal, 1e-30) / noise))


def score_split(artifact: Artifact, candidate: Candidate, task: Task, split: Split) -> Estimate:
    """The task's metric of an exported file on a split, run in its runtime; for test: once per reported figure."""
    runtime: Runtime = plugins.load("runtimes", artifact.runtime)()
    session = runtime.open(artifact)
    try:
        found = session.run(network_input(task, split, candidate))
    finally:
        session.close()
    return task.score(np.asarray(found.argmax(1), np.int64), task.load(split, candidate.shape).y)
