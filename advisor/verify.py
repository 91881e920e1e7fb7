"""Proof that a bundle is what its manifest says, without trusting anything in it and without running its code."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor import plugins
from advisor.candidate import PRECISION
from advisor.model import Artifact, Runtime, sha256_file
from advisor.tasks.apply import apply
from advisor.tasks.score import score
from cost_models.estimate import Estimate
from specs.errors import SpecError, VerificationError

SCHEMA = 1
SUMS = "SHA256SUMS"
MAX_ARRAY_BYTES = 512 * 1024 * 1024
MAX_INPUT_ELEMENTS = 1 << 24
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 0.05}
"""Largest logit difference allowed, as a share of the largest logit: rounding of float kernels between machines, and
for int8 the last-bit differences between kernels that published comparisons show in most outputs."""


@dataclass(frozen=True)
class Verified:
    """What was checked, one line each; constructing one means that everything passed."""

    folder: Path
    checks: tuple[str, ...]
    test: Estimate


def verify_bundle(folder: Path) -> Verified:
    """Recompute every hash, run the model on the parity vectors and the test split. Runs no code of the bundle.

    Raises:
        SpecError: not a bundle.
        VerificationError: a byte, an output or a figure differs.
    """
    if not (folder / SUMS).is_file() or not (folder / "manifest.json").is_file():
        raise SpecError("not a bundle", seen=str(folder), allowed="a directory made by `advisor export`")
    checks = [check_sums(folder)]
    manifest = _manifest(folder)
    try:
        return _run_checks(folder, manifest, checks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError("the manifest does not describe this bundle", where=str(folder),
                                seen=f"{type(error).__name__}: {error}") from error  # fmt: skip


def _run_checks(folder: Path, manifest: dict[str, Any], checks: list[str]) -> Verified:
    model = manifest["model"]
    path = _inside(folder, model["file"])
    if sha256_file(path) != model["sha256"]:
        raise VerificationError("the model is not the evaluated one", where=path.name)
    numbers, shape = manifest["preprocessing"]["numbers"], tuple(model["input_shape"])
    tolerance = _checked(folder, manifest, shape, tuple(numbers["shape"]))
    session = open_model(manifest["runtime"], path, model["layout"], model["quantization"])
    vectors = _arrays(_inside(folder, "parity.npz"))
    raw, expected = vectors["raw"], vectors["logits"]
    found = logits_of(session, numbers, raw, shape)
    worst = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-9))
    if found.shape != expected.shape or not worst <= tolerance:
        raise VerificationError("outputs differ from the parity vectors", where=path.name,
                                seen=f"{worst:.2g} of the largest logit", allowed=f"{tolerance:g}")  # fmt: skip
    checks.append(f"{len(raw)} parity vectors within {worst:.1e} of the largest logit (allowed {tolerance:g})")
    recorded = Estimate.from_dict(manifest["test"]["figure"])
    if not manifest["test"]["stored"] and not (folder / "test.npz").exists():
        checks.append("test split not stored in the bundle (too large): recorded figure not recomputed")
        return Verified(folder, tuple(checks), recorded)
    split = _arrays(_inside(folder, "test.npz"))
    raw, labels = split["raw"], split["labels"]
    tested = score(manifest["test"]["metric"], np.asarray(logits_of(session, numbers, raw, shape).argmax(1)), labels)
    allowed = 0.0 if tolerance <= TOLERANCE["fp32"] else max(0.005, 1.5 / max(len(labels), 1))
    if tested.value is None or recorded.value is None or abs(tested.value - recorded.value) > allowed + 1e-9:
        raise VerificationError("the test figure differs", seen=tested.value, allowed=f"{recorded.value} ± {allowed:g}")
    checks.append(f"{manifest['test']['metric']} {tested.value:.4f} on {len(labels)} test samples, as recorded")
    return Verified(folder, tuple(checks), tested)


def _checked(folder: Path, manifest: dict[str, Any], shape: tuple[int, ...], preprocessed: tuple[int, ...]) -> float:
    """The tolerance for this model, after the manifest's own claims were held against what is allowed."""
    model = manifest["model"]
    if model["layout"] not in ("NCHW", "NHWC"):
        raise VerificationError("unknown layout", where="manifest.json", seen=model["layout"], allowed="NCHW, NHWC")
    if (folder / "labels.txt").read_text("utf-8").splitlines() != manifest["labels"]:
        raise VerificationError("labels.txt and the manifest differ", where=str(folder))
    for dims in (shape, preprocessed):
        if not 1 <= len(dims) <= 3 or not all(int(n) > 0 for n in dims) or math.prod(dims) > MAX_INPUT_ELEMENTS:
            raise VerificationError("absurd input shape", where="manifest.json", seen=dims)
    # what is tolerated is decided here, not by the file under test
    return TOLERANCE[PRECISION[model["quantization"]]]


def write_sums(folder: Path) -> None:
    """List the hash of every file in the folder."""
    (folder / SUMS).write_text(_sums(folder), "utf-8")


def check_sums(folder: Path) -> str:
    """Every file listed is there unaltered, and nothing else is.

    Raises:
        VerificationError: naming the first file that is altered, missing or extra.
    """
    expected = _sums(folder)
    recorded = (folder / SUMS).read_bytes()
    if recorded == expected.encode():
        return f"{expected.count(chr(10))} files unaltered"
    listed = {line.partition("  ")[2]: line for line in recorded.decode("utf-8", "replace").split("\n") if line}
    actual = {line.partition("  ")[2]: line for line in expected.split("\n") if line}
    for name in sorted(set(actual) | set(listed)):
        if listed.get(name) == actual.get(name):
            continue
        what = "file was altered" if name in listed and name in actual else "file is missing"
        what = what if name in listed else "file is not in the list of hashes"
        raise VerificationError(what, where=str(folder), seen=name, next="export the bundle again")
    raise VerificationError("the list of hashes was altered", where=str(folder / SUMS), next="export the bundle again")


def _sums(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{sha256_file(_inside(folder, name))}  {name}\n" for name in names)


def open_model(runtime_id: str, path: Path, layout: Any, quantization: str) -> Any:
    """A session of a model file in its runtime."""
    runtime: Runtime = plugins.load("runtimes", runtime_id)()
    return runtime.open(Artifact(path, runtime_id, quantization, layout, "", 0))


def logits_of(session: Any, numbers: dict[str, Any], raw: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Outputs for raw samples, which are preprocessed as the bundle does it."""
    x = apply(numbers, raw)
    found: NDArray[np.float32] = session.run(x.reshape(len(x), *shape))
    return found


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """An .npz of the bundle, its unpacked size bounded and nothing unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_ARRAY_BYTES:
            raise VerificationError(
                "arrays too large", where=path.name, seen=f"{size} bytes", allowed=str(MAX_ARRAY_BYTES)
            )
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise VerificationError("not an array file", where=path.name, seen=str(error)) from None


def _manifest(folder: Path) -> dict[str, Any]:
    path = _inside(folder, "manifest.json")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise VerificationError("the manifest is too large", where=str(path))
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise VerificationError("the manifest is not JSON", where=str(path), seen=str(error)) from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        seen = manifest.get("schema") if isinstance(manifest, dict) else manifest
        raise SpecError("bundle of another version", where=str(path), seen=seen, allowed=str(SCHEMA))
    return manifest


def _inside(folder: Path, name: str) -> Path:
    """A plain file directly in the bundle: no paths, no links."""
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        raise VerificationError("not a plain file of the bundle", where=str(folder), seen=name)
    return path
