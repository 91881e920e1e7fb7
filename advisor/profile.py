"""What the product keeps for its user between runs: calibrations of targets, in one folder.

The folder is `EDGE_ADVISOR_HOME`, else `edge-advisor` in the XDG data home (`~/.local/share`). A file that cannot be
used is a warning and not there; nothing here is ever unpickled.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cost_models.calibrate import Calibration
from cost_models.measurement import Fingerprint
from specs.errors import SpecError

HOME = "EDGE_ADVISOR_HOME"
MAX_FILE_BYTES = 32 << 20
MAX_FILES = 200


def home() -> Path:
    """The profile's folder; it need not exist."""
    named = os.environ.get(HOME)
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data and Path(data).is_absolute() else Path.home() / ".local" / "share") / "edge-advisor"


def calibration_file(target: str) -> Path:
    return home() / "calibrations" / f"{_name(target)}.json"


def samples_file(target: str) -> Path:
    """Where the timings of a running calibration are kept, so that it can be resumed."""
    return home() / "calibrations" / f"{_name(target)}.samples.jsonl"


def save_calibration(calibration: Calibration) -> Path:
    """Write atomically; returns the file.

    Raises:
        SpecError: the folder cannot be written.
    """
    path = calibration_file(calibration.target)
    text = json.dumps(calibration.to_dict(), separators=(",", ":"), allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False) as part:
            part.write(text)
        Path(part.name).replace(path)
    except OSError as error:
        raise SpecError("the profile folder cannot be written", where=str(path.parent), seen=error.strerror,
                        next=f"set {HOME} to a folder of yours") from None  # fmt: skip
    return path


def load_calibrations() -> dict[str, Calibration]:
    """Every readable calibration by target; a damaged file is one warning and left out."""
    found: dict[str, Calibration] = {}
    try:
        paths = sorted((home() / "calibrations").glob("*.json"))[:MAX_FILES]
    except OSError:
        return found
    for path in paths:
        calibration = _read(path)
        if calibration is not None:
            found[calibration.target] = calibration
    return found


def load_calibration(target: str) -> Calibration | None:
    """The calibration of one target, or None."""
    path = calibration_file(target)
    found = _read(path) if path.exists() else None
    return found if found is not None and found.target == target else None


def usable(calibration: Calibration, fingerprint: Fingerprint) -> str | None:
    """None where the calibration holds on what `fingerprint` describes, else the reason why it does not."""
    now = conditions(fingerprint)
    for key in sorted(calibration.versions.keys() | now.keys()):
        then, is_now = calibration.versions.get(key), now.get(key)
        if then != is_now:
            return (f"measured with {key} {then or 'unknown'}, now {is_now or 'unknown'}; "
                    f"run `advisor calibrate {calibration.target}`")  # fmt: skip
    return None


def conditions(fingerprint: Fingerprint) -> dict[str, str]:
    """What a calibration depends on: CPU, its cores, the runtime's version."""
    return {"CPU": fingerprint.cpu, "cores": str(fingerprint.cores), **fingerprint.versions}


def _read(path: Path) -> Calibration | None:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
        data: Mapping[str, Any] = json.loads(path.read_text("utf-8"), parse_constant=_no_number)
        return Calibration.from_dict(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        warnings.warn(f"{path}: not a usable calibration ({reason}); ignored, calibrate again to replace it",
                      stacklevel=3)  # fmt: skip
        return None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _name(target: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", target.lower())
