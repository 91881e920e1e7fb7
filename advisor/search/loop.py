"""The search loop: ask, price, skip what cannot be, train, export, measure, record, tell; then promote the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from advisor.candidate import Candidate
from advisor.evaluate import Request
from advisor.evaluation import Evaluation, Fidelity
from advisor.front import non_dominated, usable_objectives, values
from advisor.ledger import Ledger
from advisor.measure.protocol import QUICK, MeasurePlan
from advisor.model import Artifact
from advisor.progress import Event, Listener
from advisor.score import feasible, impossible, margins
from advisor.search.costing import Pricer, measure_on_host, measurement_row, with_measurement
from advisor.search.promote import promotable
from advisor.search.study import Asked, TargetStudy, constraint_values, objective_values
from advisor.search.workers import Outcome, WorkerPool
from cost_models.estimate import Estimate
from specs.chip import Target
from specs.errors import SpecError
from specs.spec import Spec

BATCH = 4
"""Candidates asked at once, whatever the number of workers: the same seed then gives the same candidates anywhere."""
MAX_SKIPS = 200
"""Proposals refused before training in a row, after which the space counts as exhausted."""
EXPLORE_SHARE = 0.66
"""Share of the time spent on short trainings; the rest goes to full trainings of the best."""
PROMOTIONS = 8
"""Candidates a target that get a full training, at most."""


@dataclass
class Search:
    """One run's loop over its ledger. Every finished step is in the ledger before the next begins."""

    spec: Spec
    folder: Path
    ledger: Ledger
    studies: dict[str, TargetStudy]
    pricer: Pricer
    pool: WorkerPool
    listen: Listener
    elapsed_before_s: float = 0.0
    _started: float = field(default_factory=time.monotonic)
    _known: dict[tuple[str, str], Evaluation] = field(default_factory=dict)
    _measured: int = 0
    _told: set[tuple[str, str]] = field(default_factory=set)

    def run(self) -> None:
        """Explore, then promote, within the spec's budget."""
        for evaluation in self.ledger.evaluations():
            self._known[evaluation.id, evaluation.target] = evaluation
        self._measured = len(self.ledger.measurements())
        for target, study in self.studies.items():
            study.restore(self.ledger.trials(target))
        self._told = {
            (target, row["data"].get("candidate", "")) for target in self.studies for row in self.ledger.trials(target)
        }
        ended = self._explore()
        self._promote()
        self.ledger.set_fact("ended_by", ended)
        self._say("done", lasting=False)

    def _explore(self) -> str:
        """Short trainings until a budget is spent; returns what ended them."""
        exhausted: set[str] = set()
        while not self._explored():
            open_targets = [name for name in self.studies if name not in exhausted]
            if not open_targets:
                return "the space: no further candidate can meet the hard limits"
            for i, name in enumerate(open_targets):
                left = self.spec.search.trials - self._counted()
                if left <= 0 or self._explored():
                    break
                # what is left is shared: no target goes without because another came first
                share = -(-left // (len(open_targets) - i))
                if not self._batch(self.studies[name], min(BATCH, share)):
                    exhausted.add(name)
        return "trials" if self._counted() >= self.spec.search.trials else "time"

    def _explored(self) -> bool:
        late = self._elapsed() >= EXPLORE_SHARE * self.spec.search.time_s
        return late or self._counted() >= self.spec.search.trials

    def _counted(self) -> int:
        """Trained candidates whose trials were told: a batch that was cut off does not count until it is redone."""
        return sum((e.target, e.id) in self._told for e in self._known.values() if e.status != "skipped")

    def _batch(self, study: TargetStudy, count: int) -> bool:
        """Ask and evaluate up to `count` new candidates for one target; False when none could be found."""
        target = study.space.target
        asked, rows = self._ask(study, count)
        fresh = {a.candidate.id: a for a in asked}
        todo = [a for a in fresh.values() if (a.candidate.id, target.id) not in self._known]
        late = EXPLORE_SHARE * self.spec.search.time_s
        self._evaluate([(a.candidate, "short", a.number) for a in todo], target, lambda: self._elapsed() > late)
        known = [self._known[a.candidate.id, target.id] for a in asked if (a.candidate.id, target.id) in self._known]
        self._measure_new(known, target)
        if len(known) < len(asked):
            return True  # out of time in the middle of the batch: its trials stay untold, as after an interruption
        for a in asked:
            rows.append(self._tell(study, a, self._known[a.candidate.id, target.id]))
            self._told.add((target.id, a.candidate.id))
        self.ledger.add_trials(sorted(rows, key=lambda row: row["number"]))
        self.ledger.set_fact("elapsed_s", f"{self._elapsed():.1f}")
        return bool(asked)

    def _ask(self, study: TargetStudy, count: int) -> tuple[list[Asked], list[dict[str, Any]]]:
        """Up to `count` proposals that may meet the hard limits and are new; the others are told at once."""
        target = study.space.target
        chosen: list[Asked] = []
        rows: list[dict[str, Any]] = []
        told_before = {row["number"] for row in self.ledger.trials(target.id)}
        seen = {e.id for (_, name), e in self._known.items() if name == target.id and e.trial in told_before}
        skips = 0
        while len(chosen) < count and skips < MAX_SKIPS:
            asked = study.ask()
            known = self._known.get((asked.candidate.id, target.id))
            if asked.candidate.id in seen or any(asked.candidate.id == a.candidate.id for a in chosen):
                skips += 1
                rows.append(self._tell(study, asked, known))
                continue
            metrics = self.pricer.before_training(asked.candidate, target)
            broken = impossible(self.spec, metrics) if metrics else []
            if metrics is None or not broken:
                chosen.append(asked)
                continue
            skips += 1
            reason = "; ".join(f"{m.limit} cannot be met" for m in broken)
            skipped = Evaluation(asked.candidate, target.id, "none", "skipped", metrics, reason, asked.number)
            if known is None:
                self._record(skipped)
            rows.append(self._tell(study, asked, skipped))
        return chosen, rows

    def _tell(self, study: TargetStudy, asked: Asked, evaluation: Evaluation | None) -> dict[str, Any]:
        if evaluation is None or evaluation.status == "failed":
            return study.tell(asked, None, {})
        metrics = dict(evaluation.metrics)
        if "predicted_latency_ms" in metrics:
            metrics["latency_ms"] = metrics["predicted_latency_ms"]
        if evaluation.status == "skipped":
            # worse than chance, so that nothing is learned from it but where not to look
            metrics["accuracy"] = Estimate.exact(0.0)
        told = objective_values(study.objectives, metrics)
        return study.tell(asked, told, constraint_values(margins(self.spec, metrics)))

    def _evaluate(
        self, todo: Sequence[tuple[Candidate, Fidelity, int | None]], target: Target, stop: Callable[[], bool]
    ) -> None:
        """Train, export and judge."""
        requests = {c.id: (self._request(c, fidelity, target), number) for c, fidelity, number in todo}
        for outcome in self.pool.run([request for request, _ in requests.values()], self._notice, stop):
            evaluation = self._judged(outcome, target, requests[outcome.request.candidate.id][1])
            self._record(evaluation)
            self.ledger.set_fact("elapsed_s", f"{self._elapsed():.1f}")
            self._say(_describe(evaluation), lasting=True)

    def _measure_new(self, evaluations: Sequence[Evaluation], target: Target) -> None:
        """Measure what was not measured yet, now that the workers are idle and the machine is quiet."""
        for evaluation in evaluations:
            fresh = evaluation.status == "done" and "measured" not in evaluation.details
            if target.is_host and fresh and self._worth_measuring(evaluation):
                self.measure(evaluation, target, QUICK)

    def _request(self, candidate: Candidate, fidelity: Fidelity, target: Target) -> Request:
        balanced = self.spec.task.metric != "accuracy"
        return Request(
            candidate, (target.runtime.id,), fidelity, self.folder / "artifacts", self.spec.search.seed, balanced
        )

    def _judged(self, outcome: Outcome, target: Target, number: int | None) -> Evaluation:
        candidate, fidelity = outcome.request.candidate, outcome.request.fidelity
        if outcome.error or not outcome.results:
            return Evaluation(candidate, target.id, fidelity, "failed", {}, outcome.error or "no result", number)
        result = outcome.results[0]
        if result.artifact is None:
            return Evaluation(
                candidate, target.id, fidelity, "failed", {}, result.error, number, details=result.details
            )
        return Evaluation(
            candidate,
            target.id,
            fidelity,
            "done",
            self.pricer.after_export(result, target),
            trial=number,
            artifact=str(result.artifact.path.relative_to(self.folder)),
            artifact_sha256=result.artifact.sha256,
            details={**result.details, "layout": result.artifact.layout, "arena_bytes": result.arena_bytes},
        )

    def measure(self, evaluation: Evaluation, target: Target, plan: MeasurePlan) -> Evaluation:
        """Measure on this host, record the samples and the evaluation they change."""
        artifact = artifact_of(evaluation, self.folder, target)
        measurement = measure_on_host(target, artifact, plan)
        self._measured += 1
        self.ledger.add_measurement(evaluation.id, target.id, measurement_row(measurement))
        metrics = with_measurement(self.spec, target, dict(evaluation.metrics), measurement)
        details = {**evaluation.details, "measured": measurement.protocol, "noisy": measurement.noisy}
        if measurement.error:
            details["measurement_error"] = measurement.error
        changed = replace(evaluation, metrics=metrics, details=details)
        self._record(changed)
        return changed

    def _worth_measuring(self, evaluation: Evaluation) -> bool:
        left = self.spec.search.measurements - self._measured
        if left <= 0:
            return False
        if self.spec.search.measurements >= self.spec.search.trials:
            return True
        rows = [e for e in self._known.values() if e.status == "done" and e.target == evaluation.target]
        objectives = usable_objectives(self.spec, rows)
        best = {rows[i].id for i in non_dominated([values(row, objectives) for row in rows])}
        return evaluation.id in best

    def _promote(self) -> None:
        """Full training for the candidates that may end on the front, best first, while time lasts."""
        for name, study in self.studies.items():
            target = study.space.target
            queue = promotable(self.spec, [e for e in self._known.values() if e.target == name])[:PROMOTIONS]
            while queue:
                batch = queue[: len(self.pool.pids)]
                queue = queue[len(batch) :]
                if not self._affordable(batch):
                    continue
                self._say(f"full training of {len(batch)} of the best", lasting=False)
                self._evaluate([(e.candidate, "full", e.trial) for e in batch], target, lambda: False)
                self._measure_new([self._known[e.id, name] for e in batch], target)
                self.ledger.set_fact("elapsed_s", f"{self._elapsed():.1f}")

    def _affordable(self, batch: Sequence[Evaluation]) -> bool:
        from advisor.build.plans import PLANS

        ratio = PLANS["full"].passes / PLANS["short"].passes
        spent = [e.details.get("seconds", 0) + e.details.get("parent_seconds", 0) for e in batch]
        return self._elapsed() + ratio * max(spent, default=0) < self.spec.search.time_s

    def _record(self, evaluation: Evaluation) -> None:
        self.ledger.add(evaluation)
        old = self._known.get((evaluation.id, evaluation.target))
        if evaluation.status == "done" or old is None or old.status != "done":
            self._known[evaluation.id, evaluation.target] = evaluation

    def _trained(self) -> int:
        return sum(evaluation.status != "skipped" for evaluation in self._known.values())

    def _elapsed(self) -> float:
        return self.elapsed_before_s + time.monotonic() - self._started

    def _notice(self, worker: int, stage: str, share: float) -> None:
        self._say(f"worker {worker + 1}: {stage} {share * 100:.0f} %", lasting=False)

    def _say(self, text: str, *, lasting: bool) -> None:
        trained, skipped = self._trained(), sum(e.status == "skipped" for e in self._known.values())
        good = sum(feasible(margins(self.spec, e.metrics)) is True for e in self._known.values() if e.status == "done")
        share = min(
            1.0, max(trained / self.spec.search.trials * EXPLORE_SHARE, self._elapsed() / self.spec.search.time_s)
        )
        state = text if lasting else f"{trained} trained, {skipped} skipped, {good} feasible · {text}"
        self.listen(Event("search", state, share, lasting))


def artifact_of(evaluation: Evaluation, folder: Path, target: Target) -> Artifact:
    """The artifact an evaluation names, under the run's folder.

    Raises:
        SpecError: the ledger names a file outside the run.
    """
    path = folder / evaluation.artifact
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SpecError("the ledger names a file outside its run", where=str(folder), seen=evaluation.artifact)
    layout = evaluation.details.get("layout", "NHWC")
    return Artifact(path, target.runtime.id, evaluation.candidate.quantization, layout, evaluation.artifact_sha256,
                    path.stat().st_size if path.is_file() else 0)  # fmt: skip


def _describe(evaluation: Evaluation) -> str:
    if evaluation.status == "failed":
        return f"{evaluation.id}  failed: {evaluation.reason[:80]}"
    accuracy = evaluation.metric("accuracy").value or 0.0
    return f"{evaluation.id}  {accuracy * 100:5.1f} %  {evaluation.candidate.describe()}"
