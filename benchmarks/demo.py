"""Claim: the demo ends in under 4 minutes with at least 5 feasible front points of at least 30 evaluated candidates,
measured here, and its best int8 point reaches 98 % on the test split. The baseline is a random forest on the pixels.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    from advisor import demo
    from advisor.report.text import table
    from advisor.run import open_run

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        started = time.perf_counter()
        hidden = os.dup(1)
        os.dup2(2, 1)
        status = demo.main()
        sys.stdout.flush()
        os.dup2(hidden, 1)
        minutes = (time.perf_counter() - started) / 60
        if status:
            raise SystemExit(f"the demo ended with status {status}")
        found = open_run(Path("runs/demo"), read_only=True).front()
        int8 = [r.evaluation for r in found.ranked if r.feasible and r.evaluation.candidate.precision == "int8"]
        # chosen by validation; the test figure is only read
        best = max((e for e in int8 if "test_accuracy" in e.details), key=lambda e: e.metric("accuracy").value or 0.0)
        latency = best.metric("latency_ms")
        rows = [
            ("minutes", f"{minutes:.2f}", "< 4"),
            ("candidates evaluated", str(len(found.ranked)), "≥ 30"),
            (
                "of them measured",
                str(sum(r.evaluation.metric("latency_ms").source == "measured" for r in found.ranked)),
                "",
            ),
            ("feasible points on the front", str(len(found.members)), "≥ 5"),
            ("best int8 point, test accuracy", f"{best.details['test_accuracy']['value'] * 100:.2f} %", "≥ 98 %"),
            ("its p95 latency", f"{(latency.value or 0) * 1e3:.1f} us, {latency.source}", "measured"),
            ("baseline: random forest, test accuracy", f"{forest() * 100:.2f} %", ""),
        ]
    print(json.dumps(rows) if "--json" in sys.argv else table(("what", "measured", "required"), rows))
    return 0


def forest() -> float:
    from sklearn.ensemble import RandomForestClassifier

    from advisor.tasks.load import open_task
    from specs.spec import parse_spec

    head = "schema: 1\nname: x\ntask: {kind: image-classification, data: digits}\ntargets: [host:onnxruntime]"
    task = open_task(parse_spec(head))
    train, test = task.load("train"), task.load("test")
    model = RandomForestClassifier(200, random_state=0).fit(train.x.reshape(len(train), -1), train.y)
    return float(model.score(test.x.reshape(len(test), -1), test.y))


if __name__ == "__main__":
    sys.exit(main())
