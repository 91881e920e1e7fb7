"""The user's baseline within a run: evaluated and measured once, before the search; what every drop is counted from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from advisor import baseline as given_model
from advisor.baseline import Baseline, evaluations
from advisor.evaluation import Evaluation
from advisor.ledger import Ledger
from advisor.measure.protocol import QUICK
from advisor.progress import Event, Listener
from advisor.search.artifacts import artifact_of
from advisor.search.costing import Pricer, measure_on_host, measurement_row, with_measurement
from advisor.tasks.base import Task
from specs.chip import Target


def recorded(ledger: Ledger) -> dict[str, Evaluation]:
    """The baseline's evaluations by target, as far as the ledger has them."""
    columns = ledger.columns()
    return {row.target: row for row in given_model.recorded(columns.statuses, columns.load)}


def with_baseline(
    pricer: Pricer, baseline: Baseline | None, task: Task, ledger: Ledger, folder: Path, listen: Listener
) -> Pricer:
    """The pricer that counts accuracy drops from the baseline, after the baseline was evaluated, and measured on the
    targets that are this machine. What the ledger of a resumed run has already is not done again.

    Raises:
        ModelFileError: the model does not run after all.
    """
    known = recorded(ledger)
    missing = [target for target in pricer.spec.targets if target.id not in known]
    if baseline is not None and missing:
        listen(Event("baseline", f"{baseline.name} on the same data"))
        made = evaluations(baseline, pricer.spec, task, missing, folder, pricer.after_export)
        ledger.add_all(made)
        known |= {row.target: row for row in made}
    for target in pricer.spec.targets:
        row = known.get(target.id)
        if row is None or not target.is_host or "measured" in row.details or "not_run" in row.details:
            continue
        if len(ledger.measurements()) < pricer.spec.search.measurements:
            listen(Event("baseline", f"measured on {target.id}"))
            known[target.id] = _measured(row, target, pricer, ledger, folder)
    return replace(pricer, baseline={name: row.metric("accuracy") for name, row in known.items()})


def _measured(row: Evaluation, target: Target, pricer: Pricer, ledger: Ledger, folder: Path) -> Evaluation:
    measurement = measure_on_host(target, artifact_of(row, folder, target), QUICK)
    ledger.add_measurement(row.id, target.id, measurement_row(measurement))
    details = {**row.details, "measured": measurement.protocol, "noisy": measurement.noisy}
    if measurement.error:
        details["measurement_error"] = measurement.error
    metrics = with_measurement(pricer.spec, target, dict(row.metrics), measurement)
    changed = replace(row, metrics=metrics, details=details)
    ledger.add(changed)
    return changed
