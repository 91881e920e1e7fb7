"""The search loop: propose, price, skip what cannot be, and lift the best of the others from rung to rung.

Every free worker is given the highest promotion that is due (`advisor.search.promotions`; at first those that make a
first front), or else a new candidate, so that none waits for another. With one worker a seed gives the same proposals
every time; with several they depend on who finishes first.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from advisor.devices.address import open_device
from advisor.evaluate import Request
from advisor.evaluation import Evaluation
from advisor.ledger import Ledger
from advisor.measure.protocol import MeasurePlan
from advisor.progress import Event, Listener
from advisor.score import feasible, margins
from advisor.search.costing import Pricer
from advisor.search.jobs import Job, described, judged, request_of
from advisor.search.ladder import CHEAP, SHORT, TRAINED, UNTRAINED, ladder_for, on_rung, ranking
from advisor.search.promotions import AT_LEAST, FIRST_SHARE, Promotion, Promotions
from advisor.search.proposals import Proposals
from advisor.search.recalibrate import Recalibrator
from advisor.search.standing import Standing
from advisor.search.study import TargetStudy
from advisor.search.telling import due as measurements_due
from advisor.search.workers import WorkerPool
from specs.chip import Target
from specs.spec import Spec

BATCH = 4
"""Candidates asked of a study at once."""
MEASURING_SHARE = 0.15
"""Share of the time so far beyond which no round of measurements is begun: workers stand still meanwhile."""
EXPLORE_SHARE = 0.75
"""Share of the time in which new candidates are begun; the rest belongs first to full trainings of the best."""


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
    _proposals: dict[str, Proposals] = field(default_factory=dict)
    _jobs: dict[int, Job] = field(default_factory=dict)
    _pricers: dict[str, Pricer] = field(default_factory=dict)
    _devices: dict[str, Recalibrator] = field(default_factory=dict)
    _ended: str = ""
    _standing: Standing = field(init=False)

    def __post_init__(self) -> None:
        self._standing = Standing(self.studies, self.ledger)

    def run(self) -> None:
        """Explore and promote within the spec's budget."""
        for name, study in self.studies.items():
            known = partial(self._tried, name)
            self._proposals[name] = Proposals(self.spec, study, self.pricer, self.ledger, known, self._record)
            self._proposals[name].restore()
            self._pricers[name] = self.pricer
        self._attach()
        self._climb()
        self._answer()
        self.measure_fronts()
        self.ledger.set_fact("ended_by", self._ended or "time")
        self._say("done", lasting=False)

    def _attach(self) -> None:
        """The targets that are this machine have a device: its measurements so far correct their figures."""
        at_hand = [study.space.target for study in self.studies.values() if study.space.target.is_host]
        for target in at_hand:
            asked = self.spec.search.measurements
            budget = max(1, asked // len(at_hand)) if asked else 0
            device = open_device("local", target)
            self._devices[target.id] = Recalibrator(
                self.pricer, target, device, self.ledger, self.folder, budget, self.listen, self._record
            )
            if self._devices[target.id].taken:
                self._corrected(target.id)

    def _calibrate(self, name: str) -> None:
        """Take the measurements that are due on a target; its figures and proposals follow them."""
        device = self._devices.get(name)
        if device is None or not measurements_due(device.budget, device.taken, self._share()):
            return
        if device.spent_s > MEASURING_SHARE * self._elapsed():
            return
        with self.pool.quiet():
            calibration = device.step(self._share())
        if calibration is not None:
            self._corrected(name)

    def _corrected(self, name: str) -> None:
        pricer = self._pricers[name] = self._proposals[name].pricer = self._devices[name].pricer_now
        self._standing = Standing(self.studies, self.ledger)
        self.studies[name].recalibrated(pricer)

    def _climb(self) -> None:
        for outcome in self.pool.serve(self._next, self._notice):
            job = self._jobs.pop(id(outcome.request))
            if job.measured:
                made = outcome.results[0] if outcome.results else None
                seconds = sum(made.details.get("rung_s", {}).values()) if made else 0.0
                self._devices[job.target.id].take(job.measured, made.artifact if made else None, seconds)
            else:
                self._take(judged(outcome, job, self.folder, self._pricers[job.target.id]), job)
            self.ledger.set_fact("elapsed_s", f"{self._elapsed():.1f}")
            self._calibrate(job.target.id)

    def _take(self, evaluation: Evaluation, job: Job) -> None:
        self._record(evaluation)
        self._say(described(evaluation), lasting=True)
        if job.priced:
            self._proposals[job.target.id].tell(job.priced, evaluation)
            if not job.costs:
                self.studies[job.target.id].exported(job.candidate, evaluation.metrics)

    def _next(self, busy: Collection[str]) -> Request | None:
        """The next request for a free worker: what is to be measured, promotions, new candidates, then what time is
        left for; of every kind for the target first that was tried least."""
        turns = sorted(self.studies, key=lambda name: self._standing.count(name) + self._proposals[name].open)
        finds = (self._untrained, self._first, self._new, self._promotion, self._brief, self._further)
        jobs = (find(name, busy) for find in finds for name in turns)
        job = next((job for job in jobs if job), None)
        return None if job is None else self._request(job)

    def _untrained(self, name: str, busy: Collection[str]) -> Job | None:
        """What the device measures next and has no file yet; seconds of work, on which the target's figures wait."""
        device = self._devices.get(name)
        if device is None or self._left_s() <= 0:
            return None
        begun = {job.measured.id for job in self._jobs.values() if job.measured and job.target.id == name}
        for row in device.lacking():
            if row.id not in begun:
                return Job(row.candidate, self._target(name), UNTRAINED, row.trial, {}, measured=row)
        return None

    def _first(self, name: str, busy: Collection[str]) -> Job | None:
        """Short trainings for a first front of a target; once those are begun, or for too long, any promotion."""
        promotions = self._promotions(name, busy)
        if not promotions.opening:
            return self._promotion(name, busy)
        found = self._lift(name, promotions.first())
        late = self._elapsed() > FIRST_SHARE * self.spec.search.time_s
        return self._promotion(name, busy) if found is None and late else found

    def _promotion(self, name: str, busy: Collection[str]) -> Job | None:
        """The highest promotion that is due on a target and can end in time."""
        return self._lift(name, self._promotions(name, busy).due(explored=self._explored()))

    def _brief(self, name: str, busy: Collection[str]) -> Job | None:
        """A short training in place of a full one, once there is nothing else to begin."""
        return self._lift(name, self._promotions(name, busy).brief()) if self._explored() else None

    def _promotions(self, name: str, busy: Collection[str]) -> Promotions:
        running = {(job.candidate.id, job.rung.name) for job in self._jobs.values() if job.target.id == name}
        return Promotions(self.spec, self._standing, name, running, busy, self._left_s())

    def _lift(self, name: str, found: Promotion | None) -> Job | None:
        if found is None:
            return None
        row, rung = found
        return Job(row.candidate, self._target(name), rung, row.trial, dict(row.metrics))

    def _left_s(self) -> float:
        return self.spec.search.time_s - self._elapsed()

    def _new(self, name: str, busy: Collection[str]) -> Job | None:
        """A new candidate for a target, while time for promotions remains."""
        return None if self._late() else self._proposed(name, busy)

    def _further(self, name: str, busy: Collection[str]) -> Job | None:
        """A new candidate although it is late: nothing else is left to do, and there is time to train it in full."""
        return self._proposed(name, busy) if self._standing.climb_s(name) < self._left_s() else None

    def _proposed(self, name: str, busy: Collection[str]) -> Job | None:
        """The next of a target's proposals; None: the trials or the space are used up, or each waits for a network
        that is in training."""
        proposals = self._proposals[name]
        while True:
            taken = proposals.take(busy)
            if taken:
                # what only its export prices is exported at once
                rung = ladder_for(self.spec.search.trials)[1] if taken.costs else SHORT
                return Job(taken.candidate, self._target(name), rung, taken.number, taken.costs, taken)
            left = self.spec.search.trials - self._standing.count() - sum(p.open for p in self._proposals.values())
            # what waits has its network in training elsewhere: others are asked for meanwhile
            if proposals.waiting > len(busy) + BATCH or proposals.exhausted or left <= 0:
                return None
            # what is left is shared: no target goes without because another came first
            sharing = sum(not p.exhausted for p in self._proposals.values())
            proposals.exhausted = not proposals.ask(min(BATCH, -(-left // sharing)))

    def _late(self) -> bool:
        return self._elapsed() >= EXPLORE_SHARE * self.spec.search.time_s

    def _explored(self) -> bool:
        """No new candidate will be begun any more."""
        if not self._ended:
            if all(p.exhausted and not p.waiting for p in self._proposals.values()):
                refused = self._standing.count(skipped=True)
                why = "no further candidate can meet the hard limits" if refused else "every candidate was tried"
                self._ended = f"the space: {why}"
            elif self._standing.count() >= self.spec.search.trials:
                self._ended = "trials"
        return bool(self._ended) or self._late()

    def _answer(self) -> None:
        """Every target has something exported, whatever time left undone: if no more, a short training of the best."""
        for name in self.studies:
            rows = self._standing.history[name]
            for row in ranking(self.spec, on_rung(rows, CHEAP), CHEAP)[:AT_LEAST]:
                if self._standing.done(name):
                    break
                self._alone(Job(row.candidate, self._target(name), SHORT, row.trial, dict(row.metrics)))

    def _alone(self, job: Job) -> None:
        waiting = [self._request(job)]
        for outcome in self.pool.serve(lambda _: waiting.pop() if waiting else None, self._notice):
            job = self._jobs.pop(id(outcome.request))
            self._record(judged(outcome, job, self.folder, self._pricers[job.target.id]))

    def _request(self, job: Job) -> Request:
        taught = self.spec.search.distil and job.rung is TRAINED
        teacher = self._standing.teacher(job.candidate) if taught else None
        request = request_of(job, self.spec, self.folder, self._pricers[job.target.id], teacher)
        self._jobs[id(request)] = job
        return request

    def measure_fronts(self) -> None:
        """Every member of the front of a target with a device is measured."""
        for name, device in self._devices.items():
            with self.pool.quiet():
                if device.finish():
                    self._corrected(name)

    def measure(self, evaluation: Evaluation, target: Target, plan: MeasurePlan) -> Evaluation:
        """Measure on the target's device, record the samples and the evaluation they change."""
        return self._devices[target.id].measure(evaluation, plan)

    def _record(self, evaluation: Evaluation) -> None:
        self.ledger.add(evaluation)
        self._standing.remember(evaluation)

    def _tried(self, name: str, candidate: str) -> Evaluation | None:
        return self._standing.tried(name, candidate)

    def _target(self, name: str) -> Target:
        return self.studies[name].space.target

    def _elapsed(self) -> float:
        return self.elapsed_before_s + time.monotonic() - self._started

    def _share(self) -> float:
        """Of the budget that is used."""
        tried, budget = self._standing.count(), self.spec.search
        return min(1.0, max(tried / budget.trials * EXPLORE_SHARE, self._elapsed() / budget.time_s))

    def _notice(self, worker: int, stage: str, share: float) -> None:
        self._say(f"worker {worker + 1}: {stage} {share * 100:.0f} %", lasting=False)

    def _say(self, text: str, *, lasting: bool) -> None:
        done = self._standing.done()
        tried, skipped = self._standing.count(), self._standing.count(skipped=True)
        good = sum(feasible(margins(self.spec, row.metrics)) is True for row in done)
        state = text if lasting else f"{tried} tried, {len(done)} exported, {skipped} skipped, {good} feasible · {text}"
        self.listen(Event("search", state, self._share(), lasting))
