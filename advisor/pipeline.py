"""The whole flow on one screen: spec → feasibility → search → front → bundle."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from advisor import plugins
from advisor.baseline import Baseline, read_baseline
from advisor.brought import check_own_models, check_unchanged
from advisor.costs import cost_model
from advisor.evaluation import OBJECTIVE_METRIC, Evaluation
from advisor.front import Front, best_of_each_quantization, pick
from advisor.measure.protocol import MeasurePlan
from advisor.own.file import keep, own_models
from advisor.progress import Event, Listener
from advisor.robustness import check_corruptions, robust_accuracy
from advisor.run import SPENT, Run, create_run, locked, open_run
from advisor.search.artifacts import artifact_of
from advisor.search.costing import Pricer
from advisor.search.given import recorded, with_baseline
from advisor.search.ladder import spent_s
from advisor.search.lean import lean
from advisor.search.loop import Search
from advisor.search.prospects import Prospects
from advisor.search.study import TargetStudy, anchors
from advisor.search.workers import WorkerPool
from advisor.space.search_space import SearchSpace, search_space
from advisor.tasks.base import Task
from advisor.tasks.load import open_task
from specs.chip import Target
from specs.errors import SpecError
from specs.host import cores
from specs.spec import Spec

FINAL_PLAN = MeasurePlan(seconds=0.7, warmup_s=0.3, processes=3, max_processes=4)
"""Full protocol for the named picks of a finished search."""
TOOLS = ("edge-advisor", "torch", "onnx", "onnxruntime", "tensorflow", "ai-edge-litert", "tflite-micro", "optuna",
         "neural-compressor", "timm", "numpy")  # fmt: skip


@dataclass(frozen=True)
class Searched:
    """A finished (or resumed and finished) search."""

    run: Run
    front: Front

    @property
    def exit_status(self) -> int:
        return self.front.exit_status


def search(spec: Spec, folder: Path | None, listen: Listener, workers: int | None = None) -> Searched:
    """Search for the spec in a new run directory, in `workers` processes (default: one a core, at most MAX_WORKERS).

    Raises:
        SpecError: the spec, its data or its space is unusable; nothing was started.
    """
    listen(Event("data", f"reading {spec.task.data}"))
    task = open_task(spec)
    if spec.task.kind == "audio-classification":
        # what the data decided holds for the whole run, whatever a later version would decide
        spec = replace(spec, task=replace(spec.task, normalization=task.normalization))
    spaces = [search_space(spec, target, task.shapes, len(task.classes)) for target in spec.targets]
    check_runnable(spec, task)
    check_backbones(spec, task)
    own, baseline = check_own_models(spec, task), read_baseline(spec, task)
    run = create_run(spec, folder, {"data_fingerprint": task.fingerprint, "classes": "\n".join(task.classes),
                                    "data_notes": "\n".join(task.notes),
                                    **{name: file.sha256 for name, file in own.items()},
                                    **{f"version:{name}": tool_version(name) for name in TOOLS}})  # fmt: skip
    listen(Event("run", str(run.folder)))
    return _searched(run, task, spaces, baseline, listen, workers)


def resume(folder: Path, listen: Listener, workers: int | None = None) -> Searched:
    """Continue an interrupted run where it stopped, with any number of workers; nothing is done twice.

    Raises:
        SpecError: no run there, or its data changed meanwhile.
    """
    run = open_run(folder)
    task = open_task(run.spec)
    if task.fingerprint != run.ledger.facts().get("data_fingerprint"):
        raise SpecError("the data changed since the run was started", where=str(folder), next="start a new run")
    spaces = [search_space(run.spec, target, task.shapes, len(task.classes)) for target in run.spec.targets]
    check_unchanged(run.spec, run.ledger.facts())
    baseline = None if len(recorded(run.ledger)) == len(spaces) else read_baseline(run.spec, task)
    return _searched(run, task, spaces, baseline, listen, workers)


def _searched(
    run: Run, task: Task, spaces: list[SearchSpace], baseline: Baseline | None, listen: Listener, workers: int | None
) -> Searched:
    spec = run.spec
    with locked(run.folder):
        model = cost_model(*(space.target for space in spaces))
        pricer = Pricer(spec, model, len(task.classes), task.preprocessing().macs)
        for file in own_models(spec).values():
            keep(file, run.folder / "artifacts")
        pricer = with_baseline(pricer, baseline, task, run.ledger, run.folder, listen)
        spaces = [lean(space, pricer, run.ledger) for space in spaces]
        studies = {
            space.target.id: TargetStudy(Prospects(space, pricer), objectives(spec, space, pricer), spec.search.seed)
            for space in spaces
        }
        elapsed = _seconds(run.ledger.facts().get("elapsed_s", "0"))
        count = workers or min(cores(), MAX_WORKERS)
        with WorkerPool(spec.to_dict(), spec.folder.absolute(), count, log=run.folder / "workers.log") as pool:
            loop = Search(spec, run.folder, run.ledger, studies, pricer, pool, listen, elapsed)
            loop.run()
        _finish(run, loop, task, listen)
    return Searched(run, run.front())


def _finish(run: Run, loop: Search, task: Task, listen: Listener) -> None:
    """Measure the named picks by the full protocol; score the front's members, and the most accurate of every
    quantization, on the test split, once each.

    A better measurement can change the front, so this goes round until nothing is left to do, and who joins the front
    is measured, named or not. Where the spec asks for no measurement none is made.
    """
    from advisor.evaluate import score_split

    for _ in range(MAX_ROUNDS if run.spec.search.measurements else 0):
        found = run.front()
        named = {pick(found, name, r.evaluation.target).evaluation.id for r in found.members for name in _NAMED}
        chosen = [row.evaluation for row in found.members if row.evaluation.id in named]
        # the baseline beside them, under the same conditions
        chosen += [row for row in recorded(run.ledger).values() if "not_run" not in row.details]
        todo = [e for e in chosen if _target(run.spec, e).is_host and "full_protocol" not in e.details]
        if not todo:
            break
        for evaluation in todo:
            listen(Event("measure", f"{evaluation.id} by the full protocol"))
            marked = replace(evaluation, details={**evaluation.details, "full_protocol": True})
            loop.measure(marked, _target(run.spec, evaluation), FINAL_PLAN)
        loop.measure_fronts()
    found = run.front()
    tested_now: list[Evaluation] = []
    reported = [row.evaluation for row in (*found.members, *found.fallback)]
    feasible = [row.evaluation for row in found.ranked if row.feasible]
    for evaluation in [*reported, *best_of_each_quantization(feasible)]:
        if evaluation.id in {e.id for e in tested_now if e.target == evaluation.target}:
            continue
        if "test_accuracy" not in evaluation.details:
            listen(Event("test", f"{evaluation.id} on the test split"))
            artifact = artifact_of(evaluation, run.folder, _target(run.spec, evaluation))
            tested = {"test_accuracy": score_split(artifact, evaluation.candidate, task, "test").to_dict()}
            if limit := run.spec.limit("robust_accuracy"):
                robust, _ = robust_accuracy(
                    artifact, evaluation.candidate, task, limit.under, run.spec.search.seed, "test"
                )
                tested["test_robust_accuracy"] = robust.to_dict()
            run.ledger.add(replace(evaluation, details={**evaluation.details, **tested}))
            tested_now.append(evaluation)
    run.ledger.set_fact(SPENT, json.dumps(spent_s(run.ledger.history())))
    run.ledger.set_fact("finished", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


MAX_ROUNDS, MAX_WORKERS = 4, 4
_NAMED = ("knee", "accuracy", "latency")


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        raise SpecError("damaged fact in the ledger", where="elapsed_s", seen=text) from None


def objectives(spec: Spec, space: SearchSpace, pricer: Pricer) -> tuple[str, ...]:
    """The spec's objectives that the target has figures for: without power states there is no energy to minimise."""
    probe = next((c for c in map(space.candidate, anchors(space)) if not c.architecture.startswith("timm:")), None)
    metrics = pricer.before_training(probe, space.target) if probe else None
    known = [
        name
        for name in spec.objectives
        if name == "accuracy"
        or (name != "energy" if metrics is None else metrics[OBJECTIVE_METRIC[name]].value is not None)
    ]
    return tuple(known) if known else ("accuracy",)


def check_runnable(spec: Spec, task: Task) -> None:
    """Refuse what cannot be answered: runtimes that do not run here, robust accuracy that the data cannot have.

    Raises:
        SpecError: naming the target and the runtimes that can, or the corruptions and why they mean nothing.
    """
    for target in spec.targets:
        if target.runtime.id not in plugins.names("runtimes"):
            able = [name for name in target.chip.runtimes if name in plugins.names("runtimes")]
            raise SpecError(f"models for {target.runtime.id} cannot be built and verified here", where="targets",
                            seen=target.id, allowed=", ".join(f"{target.chip.id}:{name}" for name in able) or "none",
                            next="`advisor feasibility` still answers for it")  # fmt: skip
    check_corruptions(spec, task)


def check_backbones(spec: Spec, task: Task) -> None:
    """Refuse timm models that do not exist or cannot take the data, before any work.

    Raises:
        SpecError: naming the model, and the nearest that exists.
    """
    for name in (name for name in spec.search.architectures if name.startswith("timm:")):
        from advisor.build.opaque import check_timm

        check_timm(name, task.shape)


def tool_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _target(spec: Spec, evaluation: Evaluation) -> Target:
    for target in spec.targets:
        if target.id == evaluation.target:
            return target
    raise SpecError("the ledger holds a target that its spec does not", seen=evaluation.target)


def environment() -> dict[str, Any]:
    """Versions of every tool that shapes an artifact."""
    return {name: tool_version(name) for name in TOOLS} | {"cpus": os.cpu_count()}
