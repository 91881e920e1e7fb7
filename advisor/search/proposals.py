"""One target's trials: what its study proposes is priced, queued where it may meet the hard limits, and told about."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from advisor.candidate import Candidate
from advisor.evaluation import Evaluation
from advisor.ledger import Ledger
from advisor.rung import SCORE, trained_network
from advisor.score import Metrics, impossible, margins
from advisor.search.costing import Pricer
from advisor.search.study import Asked, TargetStudy, constraint_values, objective_values
from specs.spec import Spec

MAX_SKIPS = 200
"""Proposals refused before training at one asking, after which the space counts as exhausted."""


@dataclass(frozen=True)
class Priced:
    """A proposal that may meet the hard limits: its predicted costs, none where only an export tells, and the seconds
    it took to know them."""

    asked: Asked
    costs: Metrics
    seconds: float

    @property
    def candidate(self) -> Candidate:
        return self.asked.candidate

    @property
    def number(self) -> int:
        return self.asked.number


@dataclass
class Proposals:
    """`known(id)` is what the first rung made of a candidate, or None; `record` takes evaluations that cost limits
    end. Trials are told to the study as they finish and to the ledger by whole batches in their order: a study that is
    restored then knows what the interrupted one knew when it asked for a batch.
    """

    spec: Spec
    study: TargetStudy
    pricer: Pricer
    ledger: Ledger
    known: Callable[[str], Evaluation | None]
    record: Callable[[Evaluation], None]
    exhausted: bool = False
    _queue: list[Priced] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)

    def restore(self) -> None:
        """Take up what the ledger says of earlier trials."""
        rows = self.ledger.trials(self.study.space.target.id)
        self.study.restore(rows)
        self._seen = {row["data"].get("candidate", "") for row in rows}

    @property
    def open(self) -> int:
        """Candidates proposed and not yet told about."""
        return len(self._open)

    def ask(self, count: int) -> bool:
        """Queue up to `count` new candidates; False when none could be found.

        Those that cannot meet a hard limit are recorded with their predicted costs alone.
        """
        target = self.study.space.target
        found = skips = number = 0
        while found < count and skips < MAX_SKIPS:
            asked = self.study.ask()
            number = asked.number
            if asked.candidate.id in self._seen:
                skips += 1
                self._told(asked, self.known(asked.candidate.id))
                continue
            self._seen.add(asked.candidate.id)
            started = time.perf_counter()
            metrics = self.pricer.before_training(asked.candidate, target) or {}
            spent = time.perf_counter() - started
            broken = impossible(self.spec, metrics) if metrics else []
            if not broken:
                self._open.add(asked.number)
                self._queue.append(Priced(asked, metrics, spent))
                found += 1
                continue
            skips += 1
            reason = "; ".join(f"{m.limit} cannot be met" for m in broken)
            skipped = Evaluation(asked.candidate, target.id, "none", "skipped", metrics, reason, asked.number,
                                 details={"rung_s": {"costs": spent}})  # fmt: skip
            if self.known(asked.candidate.id) is None:
                self.record(skipped)
            self._told(asked, skipped)
        self._ends.append(number)
        self._flush()
        return found > 0

    def take(self, busy: Collection[str]) -> Priced | None:
        """The next candidate to evaluate whose network nobody is training; None: nothing to do now."""
        for priced in list(self._queue):
            known = self.known(priced.candidate.id)
            if known is not None:  # evaluated before an interruption
                self._queue.remove(priced)
                self.tell(priced, known)
            elif trained_network(priced.candidate) not in busy:
                self._queue.remove(priced)
                return priced
        return None

    @property
    def waiting(self) -> int:
        """Candidates priced and not yet begun."""
        return len(self._queue)

    def tell(self, priced: Priced, evaluation: Evaluation) -> None:
        """What became of a candidate that was taken."""
        self._open.remove(priced.number)
        self._told(priced.asked, evaluation)
        self._flush()

    def _told(self, asked: Asked, evaluation: Evaluation | None) -> None:
        if evaluation is None or evaluation.status == "failed":
            self._rows.append(self.study.tell(asked, None, {}))
            return
        metrics = dict(evaluation.metrics)
        if "predicted_latency_ms" in metrics:
            # predictions are repeatable, measurements are not: they decide the front, not the order of proposals
            metrics["latency_ms"] = metrics["predicted_latency_ms"]
        if evaluation.status == "skipped":
            # costs alone ended it: of its accuracy nothing is known
            self._rows.append(self.study.tell(asked, None, {}))
            return
        limits = constraint_values(margins(self.spec, metrics))
        if evaluation.status == "ranked":
            metrics["accuracy"] = metrics[SCORE]
        self._rows.append(self.study.tell(asked, objective_values(self.study.objectives, metrics), limits))

    def _flush(self) -> None:
        """Write the trials of batches that are complete."""
        first = min(self._open, default=None)
        ready = [end for end in self._ends if first is None or end < first]
        if not ready:
            return
        done = [row for row in self._rows if row["number"] <= ready[-1]]
        self._rows = [row for row in self._rows if row["number"] > ready[-1]]
        self._ends = self._ends[len(ready) :]
        self.ledger.add_trials(sorted(done, key=lambda row: row["number"]))
