"""The model file of an evaluation, as runtimes and devices take it."""

from __future__ import annotations

from pathlib import Path

from advisor.evaluation import Evaluation
from advisor.model import Artifact
from specs.chip import Target
from specs.errors import SpecError


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
