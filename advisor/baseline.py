"""The user's baseline: today's model, judged like a candidate on the same data, and what it is better than."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.candidate import Candidate
from advisor.evaluation import OBJECTIVE_METRIC, Evaluation
from advisor.own.file import ModelFile, beside, keep, read_model_file
from advisor.own.fit import Fit, resized
from advisor.own.support import mixture
from advisor.score import Metrics, feasible, margins
from cost_models.estimate import Estimate
from cost_models.support import unsupported
from specs.chip import Target
from specs.errors import ModelFileError
from specs.limits import METRICS
from specs.spec import Spec

if TYPE_CHECKING:  # those who only compare need not wait for what evaluates
    from advisor.evaluate import Result
    from advisor.network.weights import Array
    from advisor.tasks.base import Task

ARCHITECTURE = "baseline"
"""The architecture that the baseline goes by as a candidate."""
WHERE = "baseline.model"
Price = Callable[["Result", Target], Metrics]
"""The metrics of an exported file on a target, with its accuracy: `advisor.search.costing.Pricer.after_export`."""


@dataclass(frozen=True)
class Baseline:
    """A model file that fits the task. `name`: its path as the spec writes it."""

    file: ModelFile
    way: Fit
    name: str

    @property
    def candidate(self) -> Candidate:
        digest = self.file.sha256[:12]
        shape = "x".join(map(str, self.way.shape))
        return Candidate(ARCHITECTURE, (("model", self.name),), self.way.shape, (), self.file.precision,
                         f"{ARCHITECTURE}#{digest}@{shape}")  # fmt: skip


def read_baseline(spec: Spec, task: Task) -> Baseline | None:
    """The spec's baseline, if it names one, after two samples went through it.

    Raises:
        ModelFileError: the file cannot be read or run here, or is not for this task.
    """
    from advisor.brought import check

    file = baseline_file(spec)
    if file is None or not spec.baseline:
        return None
    try:
        return Baseline(file, check(file, task), spec.baseline)
    except ModelFileError as error:
        raise error.at(WHERE) from None


def baseline_file(spec: Spec) -> ModelFile | None:
    """The file of the spec's baseline, if it names one.

    Raises:
        ModelFileError: it cannot be read, or runs on no device.
    """
    if not spec.baseline:
        return None
    try:
        file = read_model_file(beside(spec.baseline, spec.folder))
        if file.format == "pt2":
            raise ModelFileError("an exported torch program runs on no device as it is", where=str(file.path),
                                 allowed=".onnx, .tflite", next="export it to one of them, or search its compression: "
                                 f"search.architectures: [model:{spec.baseline}]")  # fmt: skip
    except ModelFileError as error:
        raise error.at(WHERE) from None
    return file


def evaluations(
    baseline: Baseline, spec: Spec, task: Task, targets: Iterable[Target], folder: Path, price: Price
) -> list[Evaluation]:
    """The baseline on every target: accuracy of the file in its runtime, on the validation and the test split, and the
    metrics that `price` gives it. The file is copied into the run's `folder`.

    On a target whose runtime does not run such files, accuracy is that of the runtime that does, and the figures are
    what its operators would cost; `details["not_run"]` says why it does not run there.

    Raises:
        ModelFileError: the file does not run after all.
    """
    from advisor.brought import RUNTIME
    from advisor.evaluate import Result
    from advisor.model import Artifact

    path = keep(baseline.file, folder / "artifacts")
    file = replace(baseline.file, path=path)
    known: dict[str, _Judged] = {}
    found = []
    for target in targets:
        reason = not_run(file, target)
        name = target.runtime.id if not reason else RUNTIME[file.format]
        if name not in known:
            known[name] = _judged(replace(baseline, file=file), name, spec, task)
        seen = known[name]
        artifact = Artifact.of(path, name, file.precision, "NCHW" if file.format == "onnx" else "NHWC")
        result = Result(name, artifact, seen.val, None if reason else seen.arena, robust=seen.robust)
        metrics = price(result, target)
        details = {"test_accuracy": seen.test.to_dict(), "layout": artifact.layout, "arena_bytes": seen.arena,
                   "notes": _notes(baseline, seen.val, task, reason), **seen.details}  # fmt: skip
        found.append(
            Evaluation(
                baseline.candidate,
                target.id,
                "full",
                "given",
                {**metrics, "accuracy_drop": Estimate.exact(0.0)},
                artifact=str(path.relative_to(folder)),
                artifact_sha256=file.sha256,
                details=details | ({"not_run": reason} if reason else {}),
            )
        )
    return found


def not_run(file: ModelFile, target: Target) -> str:
    """Why a target does not run the file; the empty string where it does."""
    if file.format not in target.runtime.formats:
        return f"{target.runtime.name} runs {', '.join(target.runtime.formats)}, not {file.format}"
    lacking = unsupported(file.workload, target.runtime) if file.workload else ()
    return f"{target.runtime.name} does not run {', '.join(lacking[:6])}" if lacking else ""


def recorded(statuses: Sequence[str], load: Callable[[Sequence[int]], list[Evaluation]]) -> list[Evaluation]:
    """The baseline's evaluations among many, told by their statuses and read alone."""
    return [row for row in load([i for i, status in enumerate(statuses) if status == "given"]) if is_baseline(row)]


def is_baseline(evaluation: Evaluation) -> bool:
    return evaluation.candidate.architecture == ARCHITECTURE


def dominated_by(baseline: Evaluation, evaluation: Evaluation, objectives: Sequence[str]) -> bool:
    """Whether the baseline is at least as good in every objective, and in one better beyond the intervals of both.

    Objectives that neither has a figure for do not count; one that only one of them has decides for the candidate, and
    so does a target that does not run the baseline.
    """
    if is_baseline(evaluation) or baseline.target != evaluation.target or "not_run" in baseline.details:
        return False
    beyond = False
    for name in objectives:
        metric = OBJECTIVE_METRIC[name]
        old, new = baseline.metric(metric), evaluation.metric(metric)
        if old.value is None and new.value is None:
            continue
        if old.value is None or new.value is None:
            return False
        if METRICS[metric].sense == "min":  # more is better
            if old.value < new.value:
                return False
            beyond |= _end(old, "low") > _end(new, "high")
        else:
            if old.value > new.value:
                return False
            beyond |= _end(old, "high") < _end(new, "low")
    return beyond


def beats(spec: Spec, given: Sequence[Evaluation]) -> Callable[[Evaluation], bool] | None:
    """What tells of an evaluation whether the baseline dominates it beyond noise; None without a baseline that meets
    the spec's hard limits, for what breaks them replaces nothing."""
    usable = [row for row in given if is_baseline(row) and feasible(margins(spec, row.metrics)) is not False]
    if not usable:
        return None
    return lambda evaluation: any(dominated_by(row, evaluation, spec.objectives) for row in usable)


def _end(estimate: Estimate, side: str) -> float:
    """The end of an interval; the value itself where there is none."""
    found: float | None = getattr(estimate, side)
    return float(estimate.value or 0.0) if found is None else found


@dataclass(frozen=True)
class _Judged:
    """Accuracy on both splits, robust accuracy where the spec limits it, the arena where the runtime tells."""

    val: Estimate
    test: Estimate
    arena: int | None
    robust: Estimate | None
    details: dict[str, Any]


class _FileSession:
    """The file as what judges sessions takes it."""

    def __init__(self, baseline: Baseline, runtime: str) -> None:
        self._baseline, self._runtime = baseline, runtime

    def run(self, x: Array) -> Array:
        from advisor.brought import outputs

        return outputs(self._baseline.file, self._baseline.way, self._runtime, x)[0]

    def arena_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing stays open between calls."""


def _judged(baseline: Baseline, runtime: str, spec: Spec, task: Task) -> _Judged:
    from advisor import robustness
    from advisor.brought import outputs, samples

    file, way, limit = baseline.file, baseline.way, spec.limit("robust_accuracy")
    val, test = samples(task, way, "val"), samples(task, way, "test")
    found, arena = outputs(file, way, runtime, np.concatenate([val, test]))
    chosen = np.asarray(found.argmax(1), np.int64)
    robust, details = None, {}
    if limit:
        session = _FileSession(baseline, runtime)
        robust, rows = robustness.judge(session, baseline.candidate, task, limit.under, spec.search.seed)
        details = {"robust": rows}
    return _Judged(
        task.score(chosen[: len(val)], task.load("val", way.shape).y),
        task.score(chosen[len(val) :], task.load("test", way.shape).y),
        arena,
        robust,
        details,
    )


def _notes(baseline: Baseline, accuracy: Estimate, task: Task, reason: str) -> list[str]:
    from advisor.brought import RUNTIME

    notes = [f"the user's own {baseline.name}"]
    notes += filter(None, [resized(task.shape, baseline.way.shape), mixture(baseline.file)])
    if reason:
        notes.append(f"does not run here: {reason}; its accuracy is that of {RUNTIME[baseline.file.format]}")
    chance = 1 / len(task.classes)
    if accuracy.low is not None and accuracy.low <= chance:
        words = task.preprocessing(baseline.way.shape).words
        notes.append(f"no better than chance: is it for other inputs, or classes in another order? "
                     f"It was given: {words}; classes {', '.join(task.classes[:12])}")  # fmt: skip
    return notes
