"""`make demo`: the main job on the embedded default, from spec to verified bundle, on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from advisor import cli
from advisor.run import free_path
from specs.catalog import root


def main() -> int:
    """Feasibility, search, front, bundle, verification of the digits demo; leaves them under `runs/` and `bundles/`."""
    spec = root() / "examples" / "digits.yaml"
    _say("Can it be done? Nothing is trained for this answer.", "feasibility", spec)
    if status := cli.main(["feasibility", str(spec)]):
        return status
    folder = free_path(Path("runs") / "demo")
    _say(
        "Search: train, compress, export, measure on this machine, within the spec's 200 s.",
        "search",
        spec,
        "--run",
        folder,
    )
    if status := cli.main(["search", str(spec), "--run", str(folder)]):
        return status
    bundle = free_path(Path("bundles") / "demo")
    _say(
        "Deliver the knee of the front as a bundle, and prove it.", "export", folder, "--pick", "knee", "--out", bundle
    )
    if status := cli.main(["export", str(folder), "--pick", "knee", "--out", str(bundle)]):
        return status
    if status := cli.main(["verify", str(bundle)]):
        return status
    print(f"\nlook around: {Path(sys.executable).parent / 'advisor'} dashboard")
    return 0


def _say(why: str, *command: object) -> None:
    print(f"\n── {why}\n$ advisor {' '.join(str(word) for word in command)}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
