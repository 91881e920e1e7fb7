"""What a worker is asked for, and what its answer is in the ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from advisor.build.compress import allowed_drop
from advisor.candidate import Candidate
from advisor.evaluate import Request, Result
from advisor.evaluation import Evaluation, Fidelity
from advisor.rung import SCORE, ranked
from advisor.score import Metrics
from advisor.search.costing import Pricer
from advisor.search.ladder import TRAINED, Rung
from advisor.search.profit import headroom
from advisor.search.proposals import Priced
from advisor.search.standing import rung_s
from advisor.search.workers import Outcome
from specs.chip import Target
from specs.spec import Spec


@dataclass(frozen=True)
class Job:
    """What a worker is at: a new candidate, as `priced`, a promotion, or an untrained file to be `measured` alone, of
    that evaluation."""

    candidate: Candidate
    target: Target
    rung: Rung
    trial: int | None
    costs: Metrics
    priced: Priced | None = None
    measured: Evaluation | None = None


def request_of(
    job: Job, spec: Spec, folder: Path, pricer: Pricer, teacher: tuple[Candidate, Fidelity] | None = None
) -> Request:
    """The job as a worker understands it; `folder` is the run's."""
    search, robust = spec.search, spec.limit("robust_accuracy")
    return Request(
        job.candidate, () if job.rung is TRAINED else (job.target.runtime.id,), job.rung.fidelity,
        folder / "artifacts", search.seed, spec.task.metric != "accuracy", robust.under if robust else (),
        search.harden, allowed_drop(spec), _headroom(job, spec, pricer), teacher=teacher,
    )  # fmt: skip


def judged(outcome: Outcome, job: Job, folder: Path, pricer: Pricer) -> Evaluation:
    """The row of what became of a job."""
    candidate, target, fidelity = job.candidate, job.target, job.rung.fidelity
    if outcome.ranking:
        found = ranked(outcome.ranking, candidate, target.id, job.costs, job.trial)
    elif outcome.error or not outcome.results:
        found = Evaluation(candidate, target.id, fidelity, "failed", {}, outcome.error or "no result", job.trial)
    else:
        found = _exported(outcome.results[0], job, folder, pricer)
    if job.priced is None:
        return found
    return replace(found, details={**found.details, "rung_s": {"costs": job.priced.seconds, **rung_s(found)}})


def described(evaluation: Evaluation) -> str:
    """The row on one line, for whoever watches."""
    if evaluation.status == "failed":
        return f"{evaluation.id}  failed: {evaluation.reason[:80]}"
    if evaluation.status == "ranked":
        score = evaluation.metric(SCORE).value or 0.0
        return f"{evaluation.id}  ranked {score:.3f}  {evaluation.candidate.describe()}"
    accuracy = evaluation.metric("accuracy").value or 0.0
    return f"{evaluation.id}  {accuracy * 100:5.1f} %  {evaluation.candidate.describe()}"


def _exported(result: Result, job: Job, folder: Path, pricer: Pricer) -> Evaluation:
    found = Evaluation(job.candidate, job.target.id, job.rung.fidelity, "done", {}, trial=job.trial)
    if result.artifact is None:
        return replace(found, status="failed", reason=result.error, details=result.details)
    return replace(
        found,
        metrics=pricer.after_export(result, job.target),
        artifact=str(result.artifact.path.relative_to(folder)),
        artifact_sha256=result.artifact.sha256,
        details={**result.details, "layout": result.artifact.layout, "arena_bytes": result.arena_bytes},
    )


def _headroom(job: Job, spec: Spec, pricer: Pricer) -> tuple[float, float] | None:
    """Bytes that mixed precision may take beyond int8; None where it is not asked for."""
    if job.candidate.quantization != "mixed":
        return None
    int8 = pricer.before_training(replace(job.candidate, quantization="int8"), job.target)
    return None if int8 is None else headroom(spec, int8)
