"""Robust accuracy: the task's metric of an exported file on corrupted samples, at five severities each.

Every chosen sample is seen once under every corruption, at a severity that goes round; where there are few samples,
several times. So a corruption costs at most `SAMPLES` inferences, whatever the split's size.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor import plugins
from advisor.candidate import Candidate
from advisor.model import Artifact, Runtime, Session
from advisor.network.description import network_shape
from advisor.tasks.apply import apply
from advisor.tasks.base import Split, Task
from advisor.tasks.corruptions.base import SEVERITIES, Facts
from advisor.tasks.corruptions.corrupt import corrupt, corruption, facts_of
from advisor.tasks.score import balanced_accuracy, macro_f1
from cost_models.estimate import Estimate
from specs.errors import SpecError
from specs.spec import Spec

SAMPLES = 300
"""Inferences a corruption."""
COPIES = 4
"""Corrupted copies a training sample gets for hardening, of random corruption and severity."""
MAX_COPIES_BYTES = 128 * 1024**2
"""Of copies, as float32 raw or prepared, whichever is more; a quarter of the split is copied whatever it takes."""
MAX_KEPT_BYTES = 384 * 1024**2
"""What a process keeps of corrupted inputs, the least used going first."""
_REPLICATES = 400
_PSEUDO = 0.5  # as in `advisor.tasks.score`: a class without mistakes still has a chance of one

Labels = NDArray[np.int64]
_kept: OrderedDict[str, tuple[NDArray[Any], ...]] = OrderedDict()
_known_facts: dict[str, Facts] = {}


@dataclass(frozen=True)
class Plan:
    """Which samples are seen, (n,), and at which severities, (n, rounds)."""

    chosen: Labels
    severities: Labels


def robust_accuracy(
    artifact: Artifact, candidate: Candidate, task: Task, under: Sequence[str], seed: int = 0, split: Split = "val"
) -> tuple[Estimate, dict[str, Any]]:
    """The mean over the corruptions `under` of an exported file's metric, run in its runtime, and the table behind it.

    Raises:
        AdvisorError: the file cannot be run.
    """
    runtime: Runtime = plugins.load("runtimes", artifact.runtime)()
    session = runtime.open(artifact)
    try:
        return judge(session, candidate, task, under, seed, split)
    finally:
        session.close()


def judge(
    session: Session, candidate: Candidate, task: Task, under: Sequence[str], seed: int = 0, split: Split = "val"
) -> tuple[Estimate, dict[str, Any]]:
    """The same of an open session.

    The table: `under` has for every corruption its score over all severities and at each of them, as
    `Estimate.to_dict` gives them, and what the severities were, or the reason why it means nothing for the data;
    `worst` names the lowest. Corruptions without a meaning are left out of the mean; where none has one the estimate
    is absent.
    """
    facts, absent = _facts(task, under)
    done = [name for name in under if name not in absent]
    table: dict[str, Any] = {"split": split, "seed": seed, "samples": 0, "under": {}, "worst": None}
    table["under"] = {name: {"value": None, "reason": reason} for name, reason in absent.items()}
    if facts is None or not done:
        return Estimate.absent("; ".join(absent.values()) or "no corruption is named"), table
    every = task.load(split, candidate.shape).y
    metric = getattr(task, "metric", "accuracy")
    # not for macro F1: precision depends on how frequent classes are
    plan = design(every, seed, even=metric == "balanced-accuracy")
    height, width, channels = network_shape(candidate.shape, sequence=candidate.architecture == "tcn")
    predictions = []
    for name in done:
        x = _inputs(task, candidate.shape, split, name, plan, seed, facts)
        found = session.run(x.reshape(len(x), height, width, channels)).argmax(1)
        predictions.append(np.asarray(found, np.int64).reshape(plan.severities.shape))
    labels, samples = every[plan.chosen], len(plan.chosen)
    found_scores = scores(metric, np.stack(predictions), labels, len(task.classes))
    for name, predicted, value, low, high in zip(done, predictions, *found_scores.each, strict=True):
        level = corruption(name, facts)
        table["under"][name] = {
            **Estimate(value, low, high, "measured", samples).to_dict(),
            "unit": level.unit,
            "levels": [float(f"{x:.3g}") for x in level.levels(facts)],
            "severities": [_at(task, predicted, plan, severity, labels) for severity in SEVERITIES],
        }
    table["samples"] = samples
    table["worst"] = min(done, key=lambda name: table["under"][name]["value"])
    value, low, high = found_scores.mean
    return Estimate(value, low, high, "measured", samples), table


def check_corruptions(spec: Spec, task: Task) -> None:
    """Refuse robust accuracy that the data can never have, before anything is trained for it.

    Raises:
        SpecError: none of the corruptions means anything for the samples, and the limit is hard or hardened against.
    """
    limit = spec.limit("robust_accuracy")
    if limit is None or (limit.soft and not spec.search.harden):
        return
    reasons = _facts(task, limit.under)[1]
    if len(reasons) == len(limit.under):
        raise SpecError("; ".join(dict.fromkeys(reasons.values())), where="limits.robust_accuracy.under",
                        seen=", ".join(limit.under), next="name another corruption")  # fmt: skip


def corrupted_copies(
    task: Task, shape: tuple[int, ...], under: Sequence[str], seed: int
) -> tuple[NDArray[np.float32], Labels] | None:
    """Training samples corrupted and prepared for the network, (copies, *shape), and which sample each was made of;
    None where none of the corruptions means anything for the data.

    Made once a process and input shape, before training, by the corruptions that judge: corrupting every batch anew
    would cost more than the training itself where a front end follows, and a second implementation in torch could
    differ from what is measured. Variety comes from `COPIES` and from the augmentation on top.
    """
    facts, absent = _facts(task, under)
    names = [name for name in under if name not in absent]
    if facts is None or not names:
        return None
    size = len(task.load("train", shape))

    def make() -> tuple[NDArray[Any], ...]:
        rng = np.random.default_rng([seed, zlib.crc32(b"copies")])
        raw, numbers = task.raw("train"), task.preprocessing(shape).numbers  # type: ignore[attr-defined]
        values = max(int(np.prod(shape)), int(np.prod(raw.shape[1:])))
        count = min(COPIES * size, max(-(-size // 4), MAX_COPIES_BYTES // (4 * values)))
        rows = np.concatenate([rng.permutation(size) for _ in range(-(-count // size))])[:count]
        cells = [(name, severity) for name in names for severity in SEVERITIES]
        cell = rng.permutation(np.arange(count) % len(cells))
        x = np.empty((count, *shape), np.float32)
        for i, (name, severity) in enumerate(cells):
            chosen = np.flatnonzero(cell == i)
            own = np.random.default_rng([seed, zlib.crc32(name.encode()), severity])
            if len(chosen):
                x[chosen] = apply(numbers, corrupt(name, raw[rows[chosen]], severity, facts, own))
        return x, rows

    x, rows = _remembered(_key(task, shape, "copies", ",".join(names), seed), make)
    return x, rows


def design(labels: Labels, seed: int, *, even: bool = False, most: int = SAMPLES) -> Plan:
    """Samples chosen in proportion to their classes, and severities that go round within every class.

    `even`: as many of every class as there are, which is surer of a metric that weighs classes equally.
    """
    rng = np.random.default_rng([seed, zlib.crc32(b"design")])
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    n = min(len(labels), most)
    rounds = min(len(SEVERITIES), max(1, most // n))
    at = np.arange(n)
    if even:  # the first of every class, then the second, …
        ordered = labels[by_class]
        rank = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
        chosen = by_class[np.sort(np.argsort(rank, kind="stable")[:n])]
    else:
        chosen = by_class[at * len(labels) // n]
    # steps of two visit all five severities, and two rounds are two apart
    severities = (at[:, None] + 2 * np.arange(rounds)[None, :]) % len(SEVERITIES) + 1
    return Plan(chosen.astype(np.int64), severities.astype(np.int64))


@dataclass(frozen=True)
class Scores:
    """Of each corruption: values, lows, highs; and of their mean: value, low, high. 90 % intervals."""

    each: tuple[list[float], list[float], list[float]]
    mean: tuple[float, float, float]


def scores(metric: str, predicted: NDArray[np.int64], labels: Labels, classes: int) -> Scores:
    """The metric of predictions (corruptions, samples, rounds) against labels (samples,).

    Intervals by a stratified bootstrap over samples, so that one sample's fate under several corruptions and
    severities counts once. Seeded: equal predictions get equal intervals.
    """
    rng = np.random.RandomState(0)
    present, codes = np.unique(labels, return_inverse=True)
    weights = np.zeros((_REPLICATES, len(labels)))
    pseudo = np.zeros((_REPLICATES, len(present)))
    for k in range(len(present)):
        members = np.flatnonzero(codes == k)
        chance = np.append(np.ones(len(members)), _PSEUDO) / (len(members) + _PSEUDO)
        drawn = rng.multinomial(len(members), chance, size=_REPLICATES)
        weights[:, members], pseudo[:, k] = drawn[:, :-1], drawn[:, -1]
    values, replicas = [], []
    for one in predicted:
        values.append(float(_score(metric, np.ones((1, len(labels))), pseudo[:1] * 0, one, labels, classes)[0]))
        replicas.append(_score(metric, weights, pseudo, one, labels, classes))
    lows, highs = zip(*map(_interval, values, replicas), strict=True)
    mean = float(np.mean(values))
    return Scores((values, list(lows), list(highs)), (mean, *_interval(mean, np.mean(replicas, axis=0))))


def _score(
    metric: str, weights: NDArray[Any], pseudo: NDArray[Any], predicted: NDArray[np.int64], labels: Labels, classes: int
) -> NDArray[np.float64]:
    """(R,) scores of samples weighted (R, n); `pseudo` (R, classes that occur) weighs answers spread evenly."""
    n, rounds = predicted.shape
    answers = np.zeros((n, classes))
    np.add.at(answers, (np.arange(n)[:, None], predicted), 1.0 / rounds)
    truth = np.zeros((n, classes))
    truth[np.arange(n), labels] = 1.0
    hits, given = weights @ (answers * truth), weights @ answers
    present = np.unique(labels)
    hits[:, present] += pseudo / classes
    given += pseudo.sum(axis=1, keepdims=True) / classes
    true = truth.sum(axis=0)
    if metric == "accuracy":
        return np.asarray(hits.sum(axis=1) / n)
    if metric == "balanced-accuracy":
        return balanced_accuracy(hits, given, true)
    seen = (true > 0) | (answers.sum(axis=0) > 0)
    return macro_f1(hits[:, seen], given[:, seen], true[seen])


def _interval(value: float, replicas: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(replicas, [0.05, 0.95]) - replicas.mean()
    return max(0.0, min(value, value + float(low))), min(1.0, max(value, value + float(high)))


def _at(task: Task, predicted: NDArray[np.int64], plan: Plan, severity: int, labels: Labels) -> dict[str, Any]:
    """The score at one severity; a sample is seen at it once at most, so the task's own interval holds."""
    row, column = np.nonzero(plan.severities == severity)
    if not len(row):
        return Estimate.absent("too few samples").to_dict()
    return task.score(predicted[row, column], labels[row]).to_dict()


def _facts(task: Task, under: Sequence[str]) -> tuple[Facts | None, dict[str, str]]:
    """What is known of the raw samples, and why some of the corruptions mean nothing for them."""
    if not hasattr(task, "raw"):
        return None, dict.fromkeys(under, "the task gives no raw samples to corrupt")
    facts = _known_facts.get(task.fingerprint)
    if facts is None:
        facts = _known_facts[task.fingerprint] = facts_of(task)  # type: ignore[arg-type]  # it has raw samples
    reasons = {name: corruption(name, facts).lacks(facts) for name in under}
    return facts, {name: reason for name, reason in reasons.items() if reason}


def _inputs(
    task: Task, shape: tuple[int, ...], split: Split, name: str, plan: Plan, seed: int, facts: Facts
) -> NDArray[np.float32]:
    """The network's input, (samples · rounds, *shape), under one corruption."""

    def make() -> tuple[NDArray[Any], ...]:
        raw = task.raw(split)[plan.chosen]  # type: ignore[attr-defined]  # _facts made sure
        x = np.empty((*plan.severities.shape, *raw.shape[1:]), raw.dtype)
        for severity in SEVERITIES:
            row, column = np.nonzero(plan.severities == severity)
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            if len(row):
                x[row, column] = corrupt(name, raw[row], severity, facts, rng)
        return (apply(task.preprocessing(shape).numbers, x.reshape(-1, *raw.shape[1:])),)

    return _remembered(_key(task, shape, split, name, seed, getattr(task, "metric", "")), make)[0]


def _key(task: Task, shape: tuple[int, ...], *more: object) -> str:
    return json.dumps([task.fingerprint, task.preprocessing(shape).numbers, *more])


def _remembered(key: str, make: Callable[[], tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]
    _kept[key] = made = make()
    while len(_kept) > 1 and sum(x.nbytes for arrays in _kept.values() for x in arrays) > MAX_KEPT_BYTES:
        _kept.popitem(last=False)
    return made
