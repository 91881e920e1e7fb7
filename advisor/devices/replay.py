"""A device that replays recorded measurements: `replay:FILE`. Whole searches then run without a board, repeatably.

The file holds one measurement a line, found by the model file's hash (`sha256`) or by the candidate's id (`candidate`,
which is a folder or the stem of the model file's path in a run):

    JSON lines  {"candidate": "0a1b2c3d4e", "target": "stm32h743:tflm", "wall_ms": [12.1, 12.0], ...}
                with the keys of `cost_models.measurement.Measurement`, as the ledger and `recorded` write them
    CSV         candidate,wall_ms or sha256,wall_ms (also: target, peak_rss_bytes, error); samples separated by blanks

Several lines of one model are replayed in their order, the last one over and over.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TextIO

from advisor.measure.protocol import MeasurePlan
from advisor.model import Artifact
from cost_models.measurement import Fingerprint, Measurement
from specs.chip import Target
from specs.errors import SpecError

MAX_FILE_BYTES = 1 << 30
MAX_LINE_BYTES = 16 << 20
"""Lines beyond are refused: 500 samples take 10 KiB."""
_SAMPLES = ("wall_ms", "cpu_ms", "reference_ms")
_KEYS = ("sha256", "candidate")


class ReplayDevice:
    """Answers with what was recorded for a model; a model without a record is a measurement with an error."""

    def __init__(self, target: Target, address: str = "") -> None:
        """Read the recordings of `target` in the file at `address`; those that name no target are anyone's.

        Raises:
            SpecError: no file, or a line that is no measurement, with its number.
        """
        if not address:
            raise SpecError("a recording is needed", where="replay", next="write replay:FILE")
        self._target, self._path = target, Path(address)
        self._records: dict[str, list[Measurement]] = {}
        self._next: dict[str, int] = {}
        first: Fingerprint | None = None
        for keys, record in read_recordings(self._path):
            if record.target in ("", target.id):
                first = first or record.fingerprint
                for key in keys:
                    self._records.setdefault(key, []).append(replace(record, target=target.id))
        unit = target.chip.compute[0]
        self._fingerprint = first or Fingerprint(
            target.chip.id, unit.name, unit.count, unit.clock_hz, "unknown (not recorded)", "replayed", {}
        )

    def fingerprint(self) -> Fingerprint:
        """What was recorded on: of the first recording that tells."""
        return self._fingerprint

    def run(self, artifact: Artifact, plan: MeasurePlan) -> Measurement:
        """The next recording of the artifact, at most `plan.max_samples` of its samples."""
        names = (artifact.sha256, artifact.path.stem, *(part.name for part in artifact.path.parents))
        key = next((name for name in names if name in self._records), None)
        if key is None:
            error = f"no recording of this model in {self._path.name}"
            return Measurement(self._target.id, artifact.sha256, fingerprint=self._fingerprint, error=error)
        records = self._records[key]
        at = self._next.get(key, 0)
        self._next[key] = min(at + 1, len(records) - 1)
        found = records[at]
        samples = {name: getattr(found, name)[: plan.max_samples] for name in _SAMPLES}
        return replace(
            found,
            model_sha256=artifact.sha256,
            fingerprint=found.fingerprint or self._fingerprint,
            protocol=f"replayed{f': {found.protocol}' if found.protocol else ''}",
            **samples,
        )

    def close(self) -> None:
        """Nothing stays open between measurements."""


def recorded(candidate: str, measurement: Mapping[str, Any]) -> str:
    """One line of a recording for a measurement as the ledger keeps it."""
    known = {field.name for field in fields(Measurement)}
    data = {key: value for key, value in measurement.items() if key in known and value not in (None, "", [], {})}
    return json.dumps({"candidate": candidate, "sha256": data.pop("model_sha256", ""), **data}, allow_nan=False) + "\n"


def read_recordings(path: Path) -> Iterator[tuple[list[str], Measurement]]:
    """The keys and the measurement of every line.

    Raises:
        SpecError: the file is missing or too large, or a line is no measurement.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES or not path.is_file():
            raise SpecError("not a recording", where=str(path), seen=f"{size} bytes", allowed=f"{MAX_FILE_BYTES} bytes")
        with path.open(encoding="utf-8", newline="") as file:
            lines = _csv_lines(file) if path.suffix.lower() == ".csv" else _json_lines(file)
            for number, line in lines:
                yield _record(line, f"{path}:{number}")
    except OSError as error:
        raise SpecError("cannot read the recording", where=str(path), seen=error.strerror) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError("not a recording", where=str(path), seen=str(error)) from None


def _json_lines(file: TextIO) -> Iterator[tuple[int, Any]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            yield number, f"a line of more than {MAX_LINE_BYTES} characters"
            return
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, line


def _csv_lines(file: Iterable[str]) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(file, restkey="", restval="")
    for row in reader:
        data: dict[str, Any] = {key: value for key, value in row.items() if key and value}
        for name in _SAMPLES:
            if name in data:
                data[name] = str(data[name]).split()
        yield reader.line_num, data


def _record(data: Any, where: str) -> tuple[list[str], Measurement]:
    if not isinstance(data, dict):
        raise SpecError("not a measurement", where=where, seen=data, allowed="an object with candidate or sha256")
    keys = [str(data[key]) for key in _KEYS if data.get(key)]
    if not keys:
        raise SpecError("no model is named", where=where, allowed="sha256, candidate", next="add one of them")
    try:
        samples = {name: _samples(data.get(name, [])) for name in _SAMPLES}
        peak = data.get("peak_rss_bytes")
        mark = data.get("fingerprint")
        found = Measurement(
            target=str(data.get("target", "")),
            model_sha256=str(data.get("sha256", "")),
            **samples,
            peak_rss_bytes=None if peak is None else int(peak),
            fingerprint=Fingerprint(**mark) if isinstance(mark, dict) else None,
            protocol=str(data.get("protocol", "")),
            noisy=bool(data.get("noisy", False)),
            error=str(data.get("error", "")),
            conditions={str(key): str(value) for key, value in dict(data.get("conditions", {})).items()},
            repeat=_span(data.get("repeat", (1, 1))),
            tail=_span(data.get("tail", (1, 1))),
        )
    except (TypeError, ValueError) as error:
        raise SpecError("not a measurement", where=where, seen=str(error)) from None
    if not found.wall_ms and not found.error:
        raise SpecError("neither samples nor an error", where=where, allowed="wall_ms, error")
    return keys, found


def _span(data: Any) -> tuple[float, float]:
    low, high = map(float, data)
    if not 0 < low <= 1 <= high < math.inf:
        raise ValueError(f"not around 1: {low:g}, {high:g}")
    return low, high


def _samples(data: Any) -> tuple[float, ...]:
    if not isinstance(data, list):
        raise ValueError("samples are a list of milliseconds")
    found = tuple(float(value) for value in data)
    if not all(math.isfinite(value) and value > 0 for value in found):
        raise ValueError("a sample that is no time")
    return found
