"""The spec as a form: a document in, the document its fields stand for out. The parser alone judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from specs import catalog
from specs.limits import (
    CORRUPTIONS,
    COUNTS,
    LATENCY_STATS,
    LIMIT_DIMENSION,
    LIMIT_EXAMPLE,
    LIMIT_KEYS,
    LIMIT_METRIC,
    METRICS,
    SCOPES,
)
from specs.schema import HELP, LIMIT_HELP, LIMIT_KEY_HELP
from specs.search import ARCHITECTURES, QUANTIZATIONS, SearchSpec
from specs.spec import (
    DEFAULT_OBJECTIVES,
    FRONTENDS,
    NORMALIZATIONS,
    OBJECTIVES,
    SCORES,
    TASK_KINDS,
)

Document = dict[str, Any]
MAX_WHOLE = 2**32 - 1
"""The largest seed; the parser bounds the others."""
_CHOICES: dict[str, tuple[str, ...]] = {"stat": LATENCY_STATS, "scope": SCOPES, "counts": COUNTS}
_DEFAULTS = {"stat": "p95", "scope": "model", "counts": "all"}
_EXAMPLES = {"reserved": "96 KiB", "sustained": "10 min", "ambient": "45 C", "capacity": "2400 mAh",
             "voltage": "3.7 V", "every": "10 s", "sleep": "20 uA"}  # fmt: skip


def form(base: Mapping[str, Any], prefix: str) -> Document:
    """Draw every field, filled from `base`, the document of a valid spec; keys start with `prefix`."""
    fields = _Fields(prefix)
    document: Document = {"schema": 1, "name": fields.text("name", base.get("name"), HELP["name"])}
    task = _mapping(base, "task")
    left, right = st.columns(2)
    with left:
        kind = fields.one("kind", TASK_KINDS, task.get("kind"), HELP["kind"], "task")
        metric = fields.one("metric", SCORES, task.get("metric"), HELP["metric"], "metric")
    with right:
        data = fields.text("data", task.get("data"), HELP["data"])
        document["task"] = {"kind": kind, "data": data, "metric": metric}
        if kind == "audio-classification":
            for key, values in (("frontend", FRONTENDS), ("normalization", NORMALIZATIONS)):
                document["task"][key] = fields.one(key, values, task.get(key), HELP[key])
        else:
            model = fields.text("model", _mapping(base, "baseline").get("model"), HELP["baseline"], "baseline model")
            document |= {"baseline": {"model": model}} if model else {}
    document["targets"] = fields.many(
        "targets", [t.id for t in catalog.targets()], _list(base, "targets"), HELP["targets"]
    )
    st.subheader("Limits")
    st.caption("Number and unit; what is left empty is unconstrained.")
    limits = _mapping(base, "limits")
    document["limits"] = {}
    columns = st.columns(2)
    for index, name in enumerate(LIMIT_KEYS):
        with columns[index % 2]:
            if (found := _limit(fields, name, _mapping(limits, name), kind)) is not None:
                document["limits"][name] = found
    st.subheader("Trade-off and budget")
    document["objectives"] = fields.many(
        "objectives", OBJECTIVES, _list(base, "objectives") or DEFAULT_OBJECTIVES, HELP["objectives"]
    )
    if stages := _pipeline(fields, _mapping(base, "pipeline")):
        document["pipeline"] = stages
    risk = fields.text("feasible_probability", _mapping(base, "risk").get("feasible_probability", 0.9),
                       HELP["feasible_probability"], "risk: probability of meeting a predicted limit")  # fmt: skip
    document["risk"] = {"feasible_probability": _number(risk)} if risk else {}
    document["search"] = _search(fields, _mapping(base, "search"))
    return document


def _limit(fields: _Fields, name: str, base: Mapping[str, Any], kind: str) -> Document | None:
    """One limit: its bound, and the keys that go with it once there is one."""
    bound, *others = LIMIT_KEYS[name].split()
    sign = "at most" if bound == "max" else "at least"
    with st.container(border=True):
        label = f"{METRICS[LIMIT_METRIC[name]].label}, {sign}"
        text = fields.text(f"{name}.{bound}", base.get(bound), LIMIT_HELP[name], label, LIMIT_EXAMPLE[name])
        if not text:
            return None
        found: Document = {bound: text if LIMIT_DIMENSION[name] else _number(text)}
        others = sorted(others, key="soft".__eq__)  # the least used last
        columns = st.columns(min(2, len(others)))
        for index, key in enumerate(others):
            with columns[index % len(columns)]:
                value = _option(fields, f"{name}.{key}", key, base.get(key), kind)
            if value not in (None, "", [], False):
                found[key] = value
        return found


def _option(fields: _Fields, name: str, key: str, value: Any, kind: str) -> Any:
    note = LIMIT_KEY_HELP[key]
    if key == "soft":
        return fields.flag(name, value, note, key)
    if key == "volume":
        return fields.whole(name, value or 1, note, key, low=1)
    if key == "under":
        return fields.many(name, CORRUPTIONS[kind], value if isinstance(value, list) else [], note, key)
    if key in _CHOICES:
        return fields.one(name, _CHOICES[key], value or _DEFAULTS[key], note, key)
    return fields.text(name, value, note, key, _EXAMPLES[key])


def _pipeline(fields: _Fields, base: Mapping[str, Any]) -> Document:
    """Stages as lines of `name: time`."""
    text = st.text_area("pipeline, one stage a line", "\n".join(f"{name}: {time}" for name, time in base.items()),
                        key=fields.key("pipeline"), help=HELP["pipeline"], placeholder="capture: 12 ms")  # fmt: skip
    stages: Document = {}
    for line in (text or "").splitlines():
        if line.strip():
            name, _, time = line.rpartition(":")
            stages[name.strip() or line.strip()] = time.strip()
    return stages


def _search(fields: _Fields, base: Mapping[str, Any]) -> Document:
    default = SearchSpec()
    left, middle, right = st.columns(3)
    with left:
        found: Document = {"trials": fields.whole("trials", base.get("trials", default.trials), HELP["trials"], low=1)}
        found["time"] = fields.text("time", base.get("time", "20 min"), HELP["time"])
    with middle:
        measurements = base.get("measurements", default.measurements)
        found["measurements"] = fields.whole("measurements", measurements, HELP["measurements"])
        found["seed"] = fields.whole("seed", base.get("seed", default.seed), HELP["seed"])
    with right:
        architectures = fields.many(
            "architectures", ARCHITECTURES, _list(base, "architectures"), HELP["architectures"], new=True
        )
        widths = fields.many("quantization", QUANTIZATIONS, _list(base, "quantization"), HELP["quantization"])
        ratios = _list(base, "pruning") or default.pruning
        pruning = fields.text("pruning", ", ".join(str(ratio) for ratio in ratios), HELP["pruning"])
        harden = fields.flag("harden", base.get("harden"), HELP["harden"], "harden")
        distil = fields.flag("distil", base.get("distil"), HELP["distil"], "distil")
    found |= {"architectures": architectures} if architectures else {}
    found |= {"quantization": widths} if widths else {}
    found |= {"harden": True} if harden else {}
    found |= {"distil": True} if distil else {}
    found |= {"pruning": [_number(word.strip()) for word in pruning.split(",")]} if pruning else {}
    return {key: value for key, value in found.items() if value != ""}


class _Fields:
    """Widgets with keys of their own and labels from the schema."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def key(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def text(self, name: str, value: Any, note: str, label: str = "", example: str = "") -> str:
        shown = "" if value is None else str(value)
        found = st.text_input(label or name, shown, key=self.key(name), help=note, placeholder=example, max_chars=1000)
        return (found or "").strip()

    def one(self, name: str, options: Sequence[str], value: Any, note: str, label: str = "") -> str:
        index = options.index(value) if value in options else 0
        return str(st.selectbox(label or name, options, index, key=self.key(name), help=note))

    def many(
        self, name: str, options: Sequence[str], value: Sequence[Any], note: str, label: str = "", *, new: bool = False
    ) -> list[str]:
        """`new`: words beyond the options may be typed."""
        chosen = list(dict.fromkeys(map(str, value)))
        every = [*options, *(word for word in chosen if word not in options)]
        found = st.multiselect(label or name, every, chosen, key=self.key(name), help=note, accept_new_options=new)
        return [str(word) for word in found]

    def whole(self, name: str, value: Any, note: str, label: str = "", *, low: int = 0) -> int:
        start = value if isinstance(value, int) and low <= value <= MAX_WHOLE else low
        return int(st.number_input(label or name, low, MAX_WHOLE, start, key=self.key(name), help=note))

    def flag(self, name: str, value: Any, note: str, label: str = "") -> bool:
        return bool(st.checkbox(label or name, value is True, key=self.key(name), help=note))


def _mapping(base: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = base.get(key)
    return found if isinstance(found, Mapping) else {}


def _list(base: Mapping[str, Any], key: str) -> list[Any]:
    found = base.get(key) or []
    return found if isinstance(found, list) else [found]


def _number(text: str) -> float | str:
    """A plain number as one, so that the YAML needs no quotes; other text as it is."""
    try:
        return float(text)
    except ValueError:
        return text
