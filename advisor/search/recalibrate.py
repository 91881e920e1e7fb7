"""The calibration loop: measures what tells most, corrects the target's cost model, re-scores the ledger.

The correction rests on the ledger's measurements alone: a resumed run has the one it stopped with.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from advisor.devices.base import Device
from advisor.devices.lease import leased
from advisor.evaluation import Evaluation
from advisor.front import front
from advisor.ledger import Calibration, Ledger
from advisor.measure.protocol import QUICK, MeasurePlan
from advisor.model import Artifact
from advisor.progress import Event, Listener, silent
from advisor.rows import CALIBRATED
from advisor.score import Metrics, complete
from advisor.search.artifacts import artifact_of
from advisor.search.costing import Pricer, measurement_row, with_measurement
from advisor.search.evidence import Evidence
from advisor.search.ladder import CHEAP, on_rung, ranking
from advisor.search.repeats import quickest
from advisor.search.telling import ROUND, Known, due, most_telling
from advisor.search.workloads import Workloads
from advisor.untrained import can_be_untrained
from cost_models.corrected import CorrectedModel, latencies
from cost_models.energy import energy_of
from cost_models.estimate import Costs, Estimate
from cost_models.measurement import Fingerprint, Measurement
from cost_models.workload import Workload, signal_processing
from specs.chip import Target

LEAST = 3
"""Measured members of the front below which errors are told of all that was measured."""
MAX_ROUNDS = 8
"""Rounds at the end: every one can bring other candidates onto the front."""


@dataclass
class Recalibrator:
    """The loop of one target with a device.

    `pricer` is as the search began, with the model to correct; `pricer_now` what to price with from now on. `budget`:
    measurements of the target before the end; where it is 0 none is ever taken. `record` takes evaluations that were
    measured; by default the ledger does.
    """

    pricer: Pricer
    target: Target
    device: Device
    ledger: Ledger
    folder: Path
    budget: int
    listen: Listener = silent
    record: Callable[[Evaluation], None] | None = None
    spent_s: float = field(default=0.0, init=False)
    """Seconds of measuring so far."""
    _evidence: Evidence = field(init=False)
    _workloads: Workloads = field(init=False)
    _model: CorrectedModel = field(init=False)
    _taken: int = 0
    _chosen: list[str] = field(default_factory=list)
    _untrained: dict[str, Artifact | None] = field(default_factory=dict)
    _export_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._evidence = Evidence(self.target)
        self._workloads = Workloads(self.pricer.spec, self.pricer.classes, self.target.runtime.id, self.folder)
        known = {row.id: row for row in self._evaluations()}
        for candidate, target, data in self.ledger.measurements():
            if target == self.target.id:
                self._taken += 1
                if candidate in known:
                    self._keep(known[candidate], data)
        self._model = self._fitted()

    @property
    def taken(self) -> int:
        """Measurements of the target in the ledger."""
        return self._taken

    @property
    def pricer_now(self) -> Pricer:
        limit = self.pricer.spec.limit("latency")
        tail = self._evidence.tail(limit.stat) if limit else None
        tails = {self.target.id: tail} if tail else {}
        return replace(self.pricer, model=self._model, tails=tails, _frontends={})

    def step(self, progress: float, plan: MeasurePlan = QUICK) -> Calibration | None:
        """What is due at the share `progress` (0…1) of the search: measure, correct, re-score. None where nothing was:
        it is too early, too few candidates were tried since, or files of some are `lacking`."""
        count = due(self.budget, self._taken, progress)
        if not count:
            return None
        if not self._chosen:
            names = most_telling(self._known(self._measurable()), count, self.target)
            self._chosen = names if len(names) >= min(count, ROUND) or progress >= 1 else []
        if not self._chosen or self.lacking():
            return None
        names, self._chosen = self._chosen, []
        rows = {row.id: row for row in self._evaluations()}
        return self._round([rows[name] for name in names if rows[name].artifact or self._untrained[name]], plan)

    def lacking(self) -> list[Evaluation]:
        """What the next round measures and has no file yet: weights change no latency, so that an untrained one, once
        `take`n, will do."""
        waiting = {name for name in self._chosen if name not in self._untrained}
        return [row for row in self._evaluations() if row.id in waiting and not row.artifact] if waiting else []

    def take(self, evaluation: Evaluation, artifact: Artifact | None, seconds: float = 0.0) -> None:
        """The untrained file of what was lacking, and what it took; None: there can be none, and it is not asked for
        again."""
        self._untrained[evaluation.id] = artifact
        self._export_s[evaluation.id] = seconds

    def finish(self, plan: MeasurePlan = QUICK, stop: Callable[[], bool] = lambda: False) -> list[Calibration]:
        """Measure every member of the front that was not measured, until none is left, whatever the budget.

        Where nothing is feasible that is the least-violating ones: what misses a limit by its prediction may meet it.
        """
        made: list[Calibration] = []
        while self.budget and len(made) < MAX_ROUNDS:
            rows = [row for row in self._front() if "measured" not in row.details]
            calibration = self._round(rows, plan, stop)
            if calibration is None:
                break
            made.append(calibration)
        for artifact in filter(None, self._untrained.values()):  # a trained file came first, or the end
            shutil.rmtree(artifact.path.parent, ignore_errors=True)
        return made

    def measure(self, evaluation: Evaluation, plan: MeasurePlan = QUICK) -> Evaluation:
        """Measure one artifact on the device, leased for it; records the samples and the evaluation they change.

        Raises:
            SpecError: the ledger names a file outside the run.
        """
        found, row, spent = self._timed(evaluation, artifact_of(evaluation, self.folder, self.target), plan)
        details = {**evaluation.details, "measured": found.protocol, "noisy": found.noisy, "rung_s": spent}
        details.pop("measurement_error", None)
        metrics = with_measurement(self.pricer.spec, self.target, dict(evaluation.metrics), found)
        self.ledger.add_measurement(evaluation.id, self.target.id, row)
        if metrics["latency_ms"].source == "measured" and not found.error:
            metrics = self._with_energy(metrics)
        else:
            details["measurement_error"] = found.error or "no samples"
        return self._recorded(replace(evaluation, metrics=metrics, details=details))

    def errors(self, names: Iterable[str]) -> tuple[float, float] | None:
        """As `Evidence.errors`, of measured candidates of the target."""
        return self._evidence.errors(names)

    def usual_ms(self, names: Iterable[str]) -> dict[str, float]:
        """As `Evidence.usual_ms`."""
        return self._evidence.usual_ms(names)

    def _round(
        self, rows: Sequence[Evaluation], plan: MeasurePlan, stop: Callable[[], bool] = lambda: False
    ) -> Calibration | None:
        """Measure some, then one calibration by all measurements so far; None where none was measured."""
        measured = []
        for row in rows:
            if stop():
                break
            if row.artifact:
                measured.append(self.measure(row, plan).id)
            else:
                measured.append(self._sampled(row, plan).id)
        if not measured:
            return None
        self._model = self._fitted()
        members = [row.id for row in self._front() if row.id in self._evidence.samples]
        compared = members if len(members) >= LEAST else list(self._evidence.samples)
        before, after = self.errors(compared) or (None, None)
        event = Calibration(self.target.id, len(self._evidence.samples), before, after, len(compared), tuple(measured),
                            _versions(self.device.fingerprint()))  # fmt: skip
        made = self.ledger.record_calibration(event, self._rescored())
        if before is not None and after is not None:
            words = f"prediction error {before * 100:.1f} % → {after * 100:.1f} % (median of {len(compared)})"
            self.listen(Event("calibrate", f"{self.target.id}: {words}", lasting=True))
        return made

    def _sampled(self, evaluation: Evaluation, plan: MeasurePlan) -> Evaluation:
        """Measure a candidate's untrained file, which is not kept: evidence, and no figure of the candidate's own."""
        artifact, self._untrained[evaluation.id] = self._untrained[evaluation.id], None
        assert artifact is not None  # noqa: S101 - those that cannot be exported are not measured
        _, row, spent = self._timed(evaluation, artifact, plan)
        if seconds := self._export_s[evaluation.id]:
            spent["untrained"] = seconds
        self.ledger.add_measurement(evaluation.id, self.target.id, {**row, "untrained": True})
        shutil.rmtree(artifact.path.parent, ignore_errors=True)
        return self._recorded(replace(evaluation, details={**evaluation.details, "rung_s": spent}))

    def _timed(
        self, evaluation: Evaluation, artifact: Artifact, plan: MeasurePlan
    ) -> tuple[Measurement, dict[str, Any], dict[str, float]]:
        """A measurement, which is evidence at once, as the ledger keeps it; and the seconds behind the evaluation."""
        self.listen(Event("measure", f"{evaluation.id} on {self.target.id}"))
        started = time.monotonic()
        found = quickest(partial(self._run, artifact, plan), self._evidence.usual_reference_ms())
        row = measurement_row(found)
        self._taken += 1
        self._keep(evaluation, row)
        seconds = time.monotonic() - started
        self.spent_s += seconds
        return found, row, {**evaluation.details.get("rung_s", {}), "device": seconds}

    def _recorded(self, evaluation: Evaluation) -> Evaluation:
        (self.record or self.ledger.add)(evaluation)
        return evaluation

    def _run(self, artifact: Artifact, plan: MeasurePlan) -> Measurement:
        with leased(self.folder, self.target.id):
            return self.device.run(artifact, plan)

    def _fitted(self) -> CorrectedModel:
        residual = self._evidence.residual()
        return CorrectedModel(self.pricer.model, {self.target.id: residual} if residual else {})

    def _measurable(self) -> list[Evaluation]:
        """Evaluations that have a file, or could without training."""
        rows = self._evaluations()
        exported = [row for row in rows if row.status == "done" and row.artifact]
        brief = [row for row in rows if row.status == "ranked" and can_be_untrained(row.candidate)]
        return exported + [row for row in brief if self._untrained.get(row.id, True)]

    def _known(self, rows: Sequence[Evaluation]) -> list[Known]:
        """As measurements are chosen from them; what leads among the briefly trained counts as the front it may be."""
        brief = ranking(self.pricer.spec, on_rung(rows, CHEAP), CHEAP)
        members = {row.id for row in (*self._front(), *brief[: int(len(brief) * CHEAP.most)])}
        found = []
        for row, workload, costs in self._priced(rows):
            latency = costs.metrics["latency_ms"]
            if latency.value and latency.low and latency.high:
                width = math.log(latency.high / latency.low) / 2
                measured = "measured" in row.details or row.id in self._evidence.samples
                found.append(Known(row.id, workload, latency.value, width, row.id in members, measured))
        return found

    def _rescored(self) -> dict[str, Metrics]:
        """What the corrected model gives every evaluation anew, where it differs."""
        macs = self.pricer.frontend_macs
        frontend = (
            self._model.predict([signal_processing(macs)], self.target)[0].metrics["latency_ms"] if macs else None
        )
        found, pricer = {}, self.pricer_now
        for row, _, costs in self._priced(row for row in self._evaluations() if row.metrics):
            metrics = self._again(row.metrics, costs, pricer)
            if frontend is not None:
                metrics["frontend_ms"] = frontend
            changed = {k: v for k, v in metrics.items() if k in CALIBRATED and v != row.metrics.get(k)}
            if changed:
                found[row.id] = changed
        return found

    def _priced(self, rows: Iterable[Evaluation]) -> list[tuple[Evaluation, Workload, Costs]]:
        """Those whose workload is known, with what the corrected model says of them."""
        some, workloads = self._workloads.known(rows)
        return list(zip(some, workloads, self._model.predict(workloads, self.target), strict=True))

    def _again(self, metrics: Mapping[str, Estimate], costs: Costs, pricer: Pricer) -> Metrics:
        if metrics["latency_ms"].source == "measured":
            return dict(metrics)  # and what was predicted of it before stays what it was
        new = {name: costs.metrics[name] for name in ("latency_ms", "energy_mj", "power_mw")}
        return pricer.as_asked(complete(self.pricer.spec, self.target, {**metrics, **new}), self.target)

    def _with_energy(self, metrics: Mapping[str, Estimate]) -> Metrics:
        """Energy, and what follows from it, of the latency that was measured."""
        energy = energy_of(metrics["latency_p50_ms"], self.target.chip, self.target.runtime.id)
        return complete(self.pricer.spec, self.target, {**metrics, "energy_mj": energy})

    def _keep(self, row: Evaluation, measured: Mapping[str, Any]) -> None:
        workload = self._workloads.of(row)
        if workload is not None:
            base_ms = float(latencies(self.pricer.model.predict([workload], self.target))[0])
            self._evidence.add(row.id, workload, base_ms, measured)

    def _evaluations(self) -> list[Evaluation]:
        columns = self.ledger.columns().of_target(self.target.id)
        return columns.load(range(len(columns)))

    def _front(self) -> list[Evaluation]:
        """Its members, or the least-violating evaluations where nothing is feasible."""
        found = front(self.pricer.spec, self.ledger.columns().of_target(self.target.id))
        return [row.evaluation for row in found.members or found.fallback]


def _versions(fingerprint: Fingerprint) -> dict[str, str]:
    return {"CPU": fingerprint.cpu, **fingerprint.versions}
