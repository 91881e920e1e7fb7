"""One candidate, evaluated: train (or inherit), prune, export for every runtime, judge the exported files.

Runs inside a worker process: whatever happens here is an outcome, never the end of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor import plugins, robustness
from advisor.build.compress import Setting, compress_and_judge
from advisor.candidate import Candidate
from advisor.model import Artifact, BuiltModel, Runtime, Session
from advisor.network.weights import Array, fold
from advisor.opaque import build_opaque
from advisor.space.search_space import deployed_network, is_opaque, network_of
from advisor.tasks.base import Split, Task
from advisor.training import Progress, Request, hardening, input_shape, network_input, score_value, sets, trained
from cost_models.estimate import Estimate
from specs.errors import AdvisorError

__all__ = [
    "Progress", "Request", "Result", "build", "evaluate", "input_shape", "network_input", "score_split", "score_value",
    "setting", "sqnr_db", "unbuilt",
]  # fmt: skip

CALIBRATION_SAMPLES = 200


@dataclass(frozen=True)
class Result:
    """What one runtime made of the candidate. `accuracy` is the exported file's, on the validation split; `robust` its
    accuracy there under the corruptions asked for, `details["robust"]` the table behind it."""

    runtime: str
    artifact: Artifact | None
    accuracy: Estimate
    arena_bytes: int | None = None
    error: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    robust: Estimate | None = None


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
        results.append(_compressed(name, model, request, val, labels, reference, details, task, progress))
    return results


def build(request: Request, task: Task, progress: Progress) -> tuple[BuiltModel, dict[str, Any], Array]:
    """The trained (and pruned) model, what is known of it, and the float network's validation logits."""
    base = unbuilt(request, task)
    if is_opaque(request.candidate.architecture):
        return build_opaque(base, request, task, progress)
    return _build_own(base, request, task, progress)


def unbuilt(request: Request, task: Task) -> BuiltModel:
    """A candidate's model without its network: input, classes, and the samples that quantization is calibrated on."""
    candidate = request.candidate
    rng = np.random.default_rng(request.seed)
    data = network_input(task, "train", candidate)
    chosen = rng.permutation(len(data))[:CALIBRATION_SAMPLES]
    return BuiltModel(
        name="model",
        input_shape=data.shape[1:],
        classes=task.classes,
        quantization=candidate.quantization,
        calibration=np.ascontiguousarray(data[chosen]),
    )


def _build_own(
    base: BuiltModel, request: Request, task: Task, progress: Progress
) -> tuple[BuiltModel, dict[str, Any], Array]:
    from advisor.build.train import logits
    from advisor.network.to_torch import to_torch

    candidate = request.candidate
    classes = len(task.classes)
    parent = network_of(candidate.architecture, candidate.params, candidate.shape, classes)
    weights, details = trained(parent, request, task, progress, None)
    network = deployed_network(candidate, classes)
    assert network is not None  # noqa: S101 - own families always have one
    if network is not parent:
        weights, more = trained(network, request, task, progress, (parent, weights))
        details = {**{f"parent_{key}": value for key, value in details.items()}, **more}
    module = to_torch(network, weights).eval()
    reference = logits(module, network_input(task, "val", candidate))
    return replace(base, network=network, weights=fold(network, weights)), details, reference


def _compressed(
    name: str, model: BuiltModel, request: Request, val: Array, labels: NDArray[np.int64], reference: Array,
    details: dict[str, Any], task: Task, progress: Progress,
) -> Result:  # fmt: skip
    """What a runtime makes of the model by the recipe asked for, fine-tuned where plain int8 loses too much."""

    def judge(built: BuiltModel, facts: dict[str, Any], variant: str) -> Result:
        known = {**details, **facts, "notes": [*details.get("notes", []), *facts.get("notes", [])]}
        return _export(name, built, request, val, labels, reference, known, task, variant)

    given, reached = setting(request, task, progress), score_value(task, np.asarray(reference.argmax(1)), labels)
    try:
        return compress_and_judge(model, name, given, reached, judge, lambda result: result.accuracy.value)
    except AdvisorError as error:
        return Result(name, None, Estimate.absent(str(error)), error=str(error), details=details)


def setting(request: Request, task: Task, progress: Progress) -> Setting:
    """What compression needs of a request and its task, `advisor.build.compress`."""
    from advisor.build.plans import PLANS

    candidate = request.candidate
    height, width, _ = input_shape(candidate)
    plan = PLANS[request.fidelity].fitted(height * width)
    stem = f"{candidate.structure}.{request.fidelity}.{request.seed}".replace(">", "-")
    return Setting(
        sets=sets(task, candidate),
        plan=replace(plan, seed=request.seed, balanced=request.balanced),
        kind=task.kind,
        score=partial(score_value, task),
        stem=request.folder / "weights" / stem,
        allowed_drop=request.accuracy_drop,
        headroom=request.headroom,
        progress=lambda share: progress("fine-tune", share),
        copies=lambda: hardening(request, task),
    )


def _export(
    name: str, model: BuiltModel, request: Request, val: Array, labels: NDArray[np.int64], reference: Array,
    details: dict[str, Any], task: Task, variant: str = "",
) -> Result:  # fmt: skip
    runtime: Runtime = plugins.load("runtimes", name)()
    folder = request.folder / request.candidate.id / request.fidelity / name / variant
    try:
        artifact = runtime.export(model, folder)
        session = runtime.open(artifact)
        try:
            found = session.run(val)
            arena = session.arena_bytes()
            robust, more = _robust(session, request, task)
        finally:
            session.close()
    except AdvisorError as error:
        return Result(name, None, Estimate.absent(str(error)), error=str(error), details=details)
    accuracy = task.score(np.asarray(found.argmax(1), np.int64), labels)
    compared = {
        "sqnr_db": sqnr_db(reference, found),
        "agreement": float((found.argmax(1) == reference.argmax(1)).mean()),
    }
    details = {**details, **compared, **more, "notes": [*details.get("notes", []), *artifact.notes]}
    return Result(name, artifact, accuracy, arena, robust=robust, details=details)


def _robust(session: Session, request: Request, task: Task) -> tuple[Estimate | None, dict[str, Any]]:
    """Robust accuracy and its table, as details; nothing where none is asked for."""
    if not request.under:
        return None, {}
    robust, rows = robustness.judge(session, request.candidate, task, request.under, request.seed)
    return robust, {"robust": rows}


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
