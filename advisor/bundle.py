"""The deployable directory of one evaluation; `advisor.verify` proves it.

Layout: `model.onnx|.tflite` (and `model_data.h` for microcontrollers), `manifest.json`, `labels.txt`, `predict.py`,
`preprocess.py`, `parity.npz` (raw samples and the logits expected for them), `test.npz` (the test split, where it is
small enough), `SHA256SUMS` over all of them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from importlib import resources
from pathlib import Path

import numpy as np

from advisor.evaluate import input_shape
from advisor.front import Ranked, row_info
from advisor.model import Artifact, sha256_file
from advisor.run import Run
from advisor.search.artifacts import artifact_of
from advisor.tasks.load import open_task
from advisor.tasks.score import score
from advisor.verify import SCHEMA, TOLERANCE, logits_of, open_model, write_sums
from specs import catalog
from specs.chip import Target
from specs.errors import SpecError, VerificationError

PARITY_SAMPLES = 32
MAX_TEST_BYTES = 32 * 1024 * 1024


def export_bundle(run: Run, row: Ranked, out: Path) -> Path:
    """Write the bundle of an evaluation into the new or empty directory `out`.

    Raises:
        SpecError: `out` is taken, or the evaluation has no artifact.
        VerificationError: the artifact changed since it was evaluated.
    """
    evaluation = row.evaluation
    target = catalog.target(evaluation.target)
    if not evaluation.artifact:
        raise SpecError("this evaluation has no model file", seen=evaluation.id, next="pick one that was trained")
    artifact = artifact_of(evaluation, run.folder, target)
    if not artifact.path.is_file() or sha256_file(artifact.path) != evaluation.artifact_sha256:
        raise VerificationError("the model file changed since it was evaluated", seen=str(artifact.path))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpecError("the output directory is taken", seen=str(out), next="name a new one with --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise SpecError(
            "cannot write there", where=str(out), seen=error.strerror, next="name another with --out"
        ) from None
    try:
        _fill(part, run, row, target, artifact)
        part.chmod(0o755)
        if out.exists():
            out.rmdir()
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)  # still there only when something failed
    return out


def _fill(part: Path, run: Run, row: Ranked, target: Target, artifact: Artifact) -> None:
    evaluation = row.evaluation
    task = open_task(run.spec)
    model_name = f"model{artifact.path.suffix}"
    shutil.copyfile(artifact.path, part / model_name)
    if target.runtime.id == "tflm":
        (part / "model_data.h").write_text(c_header(artifact.path.read_bytes()), "utf-8")
    numbers = task.preprocessing(evaluation.candidate.shape).numbers
    raw, labels = task.raw("test"), task.load("test").y  # type: ignore[attr-defined]  # every task of ours has raw
    session = open_model(target.runtime.id, artifact.path, artifact.layout, artifact.quantization)
    logits = logits_of(session, numbers, raw, input_shape(evaluation.candidate))
    count = min(PARITY_SAMPLES, len(raw))
    np.savez_compressed(part / "parity.npz", raw=raw[:count], logits=logits[:count])
    if raw.nbytes <= MAX_TEST_BYTES:
        np.savez_compressed(part / "test.npz", raw=raw, labels=labels)
    tested = score(run.spec.task.metric, np.asarray(logits.argmax(1), np.int64), labels)
    (part / "labels.txt").write_text("".join(f"{name}\n" for name in task.classes), "utf-8")
    for source, name in (("advisor.deploy:predict.py", "predict.py"), ("advisor.tasks:apply.py", "preprocess.py")):
        package, _, file = source.partition(":")
        (part / name).write_text(resources.files(package).joinpath(file).read_text("utf-8"), "utf-8")
    info = row_info(row)
    facts = run.ledger.facts()
    manifest = {
        "schema": SCHEMA,
        "name": run.spec.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "spec_id": run.spec.id,
        "spec": run.spec.to_dict(),
        "evaluation": evaluation.id,
        "description": info["description"],
        "candidate": info["candidate"],
        "fidelity": evaluation.fidelity,
        "target": evaluation.target,
        "runtime": target.runtime.id,
        "model": {
            "file": model_name,
            "sha256": evaluation.artifact_sha256,
            "bytes": artifact.size_bytes,
            "layout": artifact.layout,
            "input_shape": list(input_shape(evaluation.candidate)),
            "quantization": evaluation.candidate.quantization,
        },
        "labels": list(task.classes),
        "preprocessing": {
            "words": task.preprocessing(evaluation.candidate.shape).words,
            "numbers": numbers,
            "raw_shape": list(raw.shape[1:]),
            "raw_dtype": str(raw.dtype),
        },
        "figures": info["metrics"],
        "margins": info["margins"],
        "details": info["details"],
        "test": {"metric": run.spec.task.metric, "figure": tested.to_dict(), "stored": raw.nbytes <= MAX_TEST_BYTES},
        "parity": {"samples": count, "tolerance": TOLERANCE[evaluation.candidate.precision]},
        "data": {
            "source": run.spec.task.data,
            "fingerprint": facts.get("data_fingerprint", ""),
            "notes": list(task.notes),
        },
        "measured_on": next(
            (
                m["fingerprint"]
                for c, t, m in reversed(run.ledger.measurements(evaluation.id))
                if t == evaluation.target and not m.get("error")
            ),
            None,
        ),
        "tools": {k.partition(":")[2]: v for k, v in facts.items() if k.startswith("version:")},
    }
    (part / "manifest.json").write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", "utf-8")
    write_sums(part)


def c_header(data: bytes) -> str:
    """A TFLite file as a C array for firmware, aligned as TFLM needs it."""
    rows = [", ".join(f"0x{byte:02x}" for byte in data[i : i + 16]) for i in range(0, len(data), 16)]
    body = ",\n  ".join(rows)
    return (
        "#pragma once\n#include <stdalign.h>\n\n"
        f"alignas(16) static const unsigned char model_data[] = {{\n  {body}\n}};\n"
        f"static const unsigned int model_data_len = {len(data)};\n"
    )
