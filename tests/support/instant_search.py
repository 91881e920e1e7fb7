"""A search whose workers answer at once: who climbs is seen without any training."""

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from advisor.costs import cost_model
from advisor.evaluate import Result
from advisor.model import Artifact
from advisor.progress import silent
from advisor.run import create_run, open_run
from advisor.rung import Ranking, trained_network
from advisor.search.costing import Pricer
from advisor.search.ladder import rung_of
from advisor.search.loop import Search
from advisor.search.prospects import Prospects
from advisor.search.study import TargetStudy
from advisor.search.workers import Outcome
from advisor.space.search_space import search_space
from cost_models.estimate import Estimate
from specs.spec import parse_spec

TRIALS = 48
SPEC = f"""
schema: 1
name: loop
task: {{kind: image-classification, data: digits}}
targets: [stm32h743:tflm]
limits:
  flash: {{max: 60 KiB, counts: model}}
objectives: [accuracy, latency]
search: {{trials: {TRIALS}, time: 10 min, quantization: [int8, fp32], pruning: [0, 0.5], seed: 3, distil: true}}
"""


CANDIDATES = {}


class InstantPricer(Pricer):
    """Prices an export as the network it was made of."""

    def after_export(self, result, target):
        candidate = CANDIDATES[result.artifact.path.parts[-3]]
        return {**self.before_training(candidate, target), "accuracy": result.accuracy}


@dataclass
class InstantPool:
    """Workers that answer without training; the newest of those at work ends first, two times in three."""

    count: int
    begun: list = field(default_factory=list)
    idle: list = field(default_factory=list)
    stop_after: int = 10**6
    broken: str = ""
    quiet = staticmethod(nullcontext)

    def serve(self, supply, notice=None):
        busy = []
        while True:
            while len(busy) < self.count:
                request = supply({trained_network(r.candidate) for r in busy})
                if request is None:
                    break
                self.begun.append(request)
                busy.append(request)
            if not busy:
                return
            if len(busy) < self.count:
                self.idle.append(self.trials())
            if len(self.begun) > self.stop_after:
                raise KeyboardInterrupt
            yield self.answer(busy.pop(0 if len(self.begun) % 3 == 0 else -1))

    def trials(self):
        return sum(request.fidelity in ("cheap", "short") for request in self.begun)

    def answer(self, request):
        quality = 0.5 + int(request.candidate.id, 16) % 400 / 1000
        found = Estimate(quality, quality - 0.01, quality + 0.01, "measured", 300)
        if self.broken and request.fidelity == self.broken:
            return Outcome(request, (), "diverged")
        if request.fidelity == "cheap" or not request.runtimes:
            name = "cheap" if request.fidelity == "cheap" else "trained"
            seconds = 1.0 if name == "cheap" else 15.0
            details = {"seconds": seconds, "rung_s": {name: seconds}}
            return Outcome(request, (), ranking=Ranking(request.fidelity, found, found, details))
        path = request.folder / request.candidate.id / request.fidelity / "model.tflite"
        artifact = Artifact(path, "tflm", request.candidate.quantization, "NHWC", "0" * 64, 1000)
        CANDIDATES[request.candidate.id] = request.candidate
        details = {"seconds": 15.0, "inherited": True, "rung_s": {"artifact": 2.0}}
        return Outcome(request, (Result("tflm", artifact, found, 5000, details=details),))


def search(folder: Path, pool, spec=None, elapsed=0.0):
    """The loop over a new or an existing run."""
    spec = spec or parse_spec(SPEC)
    exists = (folder / "ledger.db").exists()
    run = open_run(folder) if exists else create_run(spec, folder, {"data_fingerprint": "x"})
    spaces = [search_space(spec, target, ((8, 8, 1),), 10) for target in spec.targets]
    pricer = InstantPricer(spec, cost_model(*spec.targets), 10)
    studies = {
        space.target.id: TargetStudy(Prospects(space, pricer), spec.objectives, spec.search.seed) for space in spaces
    }
    loop = Search(spec, folder, run.ledger, studies, pricer, pool, silent, elapsed)
    loop.run()
    return run.ledger


def tried(ledger):
    return [row.id for row in ledger.history() if rung_of(row) == "cheap"]


def names(pool):
    return Counter((r.candidate.id, r.fidelity, bool(r.runtimes)) for r in pool.begun)
