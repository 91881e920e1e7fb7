"""A candidate's file with weights that nobody trained: for measuring alone, as weights change no latency.

Runs inside a worker process, as `advisor.evaluate` does for what is trained.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from advisor import plugins
from advisor.candidate import Candidate
from advisor.evaluate import Result, unbuilt
from advisor.model import BuiltModel, Runtime
from advisor.network.weights import fold
from advisor.space.search_space import deployed_network, is_opaque
from advisor.training import Progress, Request
from cost_models.estimate import Estimate
from specs.errors import AdvisorError

if TYPE_CHECKING:
    from advisor.tasks.base import Task

PLAIN = ("fp32", "fp16", "int8")
"""What an exporter makes of any weights; other recipes look at what trained ones lose."""


def can_be_untrained(candidate: Candidate) -> bool:
    """Whether a file of it can be made before it is trained."""
    return candidate.quantization in PLAIN and not is_opaque(candidate.architecture)


def evaluate_untrained(request: Request, task: Task, progress: Progress) -> list[Result]:
    """The exported file of every runtime asked for, without accuracy; `rung_s` tells what its export took."""
    from advisor.network.to_torch import get_weights, to_torch

    network = deployed_network(request.candidate, len(task.classes))
    if network is None:
        raise AdvisorError("no network to export untrained", seen=request.candidate.architecture)
    weights = fold(network, get_weights(to_torch(network, seed=request.seed)))
    model = replace(unbuilt(request, task), network=network, weights=weights)
    return [_exported(name, model, request, progress) for name in request.runtimes]


def _exported(name: str, model: BuiltModel, request: Request, progress: Progress) -> Result:
    progress("export", 0.0)
    started = time.monotonic()
    runtime: Runtime = plugins.load("runtimes", name)()
    made = Result(name, None, Estimate.absent("untrained: exported to be measured alone"))
    try:
        artifact = runtime.export(model, request.folder / request.candidate.id / request.fidelity / name)
    except AdvisorError as error:
        return replace(made, error=str(error))
    return replace(made, artifact=artifact, details={"rung_s": {"artifact": time.monotonic() - started}})
