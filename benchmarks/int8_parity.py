"""Claim: int8 TFLite files of own families keep at least 20 dB SQNR and 98 % top-1 agreement with their float parent.

    python benchmarks/int8_parity.py [--datasets DIR] [--json]

Two trained members of every family, on the test split of `digits` and, where present, of the given data sets. The
baseline is onnxruntime's int8 QDQ file of the same network.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from advisor.build.train import logits
from advisor.evaluate import Request, build, network_input, sqnr_db
from advisor.network.to_torch import TorchNetwork
from advisor.network.weights import load_weights
from advisor.report.text import table
from advisor.runtimes.litert import LiteRt
from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.runtimes.tflm import Tflm
from advisor.space.search_space import deployed_network, load_family, make_candidate
from advisor.tasks.load import open_task
from specs.spec import parse_spec

FILES = {
    "sign_digits_32.npz": "image-classification",
    "fsdd_mfcc49x10.npz": "audio-classification",
    "har_smartphone.npz": "timeseries-classification",
}
SPEC = 'schema: 1\nname: parity\ntask: {{kind: {kind}, data: "{data}"}}\ntargets: [host:litert]\n'


def main() -> int:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parents[1].parent / "shared" / "datasets")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sources = [("digits", "image-classification")]
    sources += [(str(args.datasets / f), kind) for f, kind in FILES.items() if (args.datasets / f).is_file()]
    rows = [row for data, kind in sources for row in compare(data, kind)]
    if args.json:
        print(json.dumps(rows))
        return 0
    headers = ("data", "family", "runtime", "SQNR dB", "top-1 agreement", "asked")
    shown = [(r["data"], r["family"], r["runtime"], f"{r['sqnr_db']:.1f}", f"{r['agreement'] * 100:.2f} %", r["asked"])
             for r in rows]  # fmt: skip
    print(table(headers, shown))
    return 0


def compare(data: str, kind: str) -> list[dict[str, object]]:
    task = open_task(parse_spec(SPEC.format(kind=kind, data=data)))
    rows = []
    for name in ("tcn", "dscnn", "resnet") if len(task.shape) == 2 else ("dscnn", "mobilenet", "resnet", "tcn"):
        if name == "tcn" and kind == "image-classification":
            continue
        for share in (0.25, 0.6):
            rows += _member(name, share, task, Path(data).stem)
    return rows


def _member(name, share, task, data):  # type: ignore[no-untyped-def]
    family = load_family(name)
    params = {d.name: d.grid()[round(share * (len(d.grid()) - 1))] for d in family.dimensions(task.shape)}
    candidate = make_candidate(name, tuple(sorted(params.items())), task.shape, (), "int8", len(task.classes))
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        request = Request(candidate, (), "short", folder, 0, False)
        model, _, _ = build(request, task, lambda *_: None)
        weights = load_weights(next((folder / "weights").glob("*.npz")))
        x = network_input(task, "test", candidate)
        reference = logits(_module(deployed_network(candidate, len(task.classes)), weights), x)
        rows = []
        for runtime, asked in ((LiteRt(), "≥ 20 dB, ≥ 98 %"), (Tflm(), "≥ 20 dB, ≥ 98 %"), (OnnxRuntime(), "baseline")):
            session = runtime.open(runtime.export(model, folder / runtime.id))
            found = session.run(x)
            session.close()
            agreement = float((np.argmax(found, 1) == np.argmax(reference, 1)).mean())
            rows.append({"data": data, "family": f"{name} {share}", "runtime": runtime.id,
                         "sqnr_db": sqnr_db(reference, found), "agreement": agreement, "asked": asked})  # fmt: skip
    return rows


def _module(network, weights) -> TorchNetwork:  # type: ignore[no-untyped-def]
    from advisor.network.to_torch import to_torch

    return to_torch(network, {k: v for k, v in weights.items() if not k.startswith("__")}).eval()


if __name__ == "__main__":
    sys.exit(main())
