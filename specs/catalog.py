"""The catalogue of chips, cores and runtimes: the one place of `specs` that reads files.

Chip file (`specs/chips/ID.yaml`, the ID is the file's name; unknown keys are errors):

    schema: 1
    name: STM32H743
    vendor: STMicroelectronics
    class: mcu                      # mcu, mcu+npu, mpu, mpu+npu, gpu, npu, phone, x86
    sources: {ds: "STM32H743xI datasheet DS12110 Rev 9"}
    memories:                       # kind: ram, flash, dram, storage; size absent = external part of any size
      - {name: AXI SRAM, kind: ram, size: 512 KiB, bandwidth: 1.6 GB/s, source: ds}
    compute:                        # kind: cpu, npu, gpu, dsp; core is a key of specs/cores.yaml
      - {name: Cortex-M7, kind: cpu, core: cortex-m7, count: 1, clock: 480 MHz, vector: [dsp, fpv5-d16], source: ds}
      # - {..., peak: {int8: 2 TOPS}}  where the maker gives throughput rather than an architecture
    power:                          # low/high optional (default: the value itself)
      - {state: sleep, value: 5 mW, low: 3 mW, high: 8 mW, source: ds}
    price: {value: 9.5 USD, volume: 1000, what: chip, date: 2024-05, source: ds}
    runtimes: [tflm, stm32cube-ai]
    unknown: {price: "no list price in a public source"}
    notes: free text

Every absent block of `power`, `price`, `memories`, `compute` needs its reason in `unknown`.
Third parties add chips through entry points of the group `advisor.specs` (a callable returning a folder).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from specs.chip import (
    Chip,
    ChipClass,
    ComputeUnit,
    Core,
    Memory,
    MemoryKind,
    PowerState,
    Precision,
    Price,
    RuntimeFacts,
    Target,
)
from specs.errors import SpecError, nearest
from specs.reading import Node, read_yaml
from specs.units import BANDWIDTH, CLOCK, MEMORY, MONEY, POWER, RATE, parse_quantity

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
STATES = ("active", "idle", "sleep", "deep-sleep")


def root() -> Path:
    """The folder of the installed `specs` package's data."""
    return Path(str(files("specs")))


@cache
def chips() -> dict[str, Chip]:
    """Every chip of the catalogue by id, `host` included (detected), sorted by id.

    Raises:
        SpecError: a chip file is wrong, or two files define the same id.
    """
    files = _files()
    return {name: _read(files[name]) for name in sorted(files)} | {"host": _host()}


def chip(name: str) -> Chip:
    """One chip by its id; the others are not read, which would take a tenth of a second.

    Raises:
        SpecError: unknown, or its file is wrong.
    """
    if name == "host":
        return _host()
    found = _files()
    if name not in found:
        hint = nearest(name, [*found, "host"])
        raise SpecError("unknown chip", seen=name, next=f"{hint} list them with `advisor targets`".strip())
    return _read(found[name])


def _files() -> dict[str, Path]:
    """The file of every chip but the host, by id."""
    found: dict[str, Path] = {}
    for folder in [root() / "chips", *_plugin_folders()]:
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in found:
                raise SpecError(f"chip '{path.stem}' is defined twice", where=str(path), seen=str(found[path.stem]))
            found[path.stem] = path
    return found


@cache
def _read(path: Path) -> Chip:
    return read_chip(path)


@cache
def _host() -> Chip:
    from specs.host import detect_host

    return detect_host()


@cache
def cores() -> dict[str, Core]:
    """Micro-architectures of `specs/cores.yaml` by id."""
    path = root() / "cores.yaml"
    result = {}
    top = Node(read_yaml(path), f"{path.name}: ", "schema cores")
    for name, value in top.raw("cores", ...).items():
        node = Node(value, f"{path.name}: cores.{name}", "peak_macs_per_cycle source")
        peak = {key: float(macs) for key, macs in node.raw("peak_macs_per_cycle", ...).items()}
        result[name] = Core(name, peak, node.text("source"))
    return result


@cache
def runtimes() -> dict[str, RuntimeFacts]:
    """Runtimes of `specs/runtimes.yaml` by id."""
    path = root() / "runtimes.yaml"
    result = {}
    for name, value in Node(read_yaml(path), f"{path.name}: ", "schema runtimes").raw("runtimes", ...).items():
        node = Node(value, f"{path.name}: runtimes.{name}", "name formats precisions flash ram runs_here source")
        result[name] = RuntimeFacts(
            id=name,
            name=node.text("name"),
            formats=tuple(node.many("formats")),
            precisions=tuple(node.many("precisions")),
            flash_bytes=_range(node, "flash"),
            ram_bytes=_range(node, "ram"),
            runs_here=node.flag("runs_here"),
            source=node.text("source"),
        )
    return result


def target(text: str) -> Target:
    """The target written `chip:runtime`; `chip` alone takes the chip's first runtime.

    Raises:
        SpecError: unknown chip or runtime, or a runtime the chip does not have.
    """
    if not isinstance(text, str):
        raise SpecError("not a target", seen=text, allowed="chip:runtime")
    name, _, wanted = text.partition(":")
    found = chip(name)
    if not wanted and found.runtimes:
        wanted = found.runtimes[0]
    if wanted not in runtimes():
        hint = nearest(wanted, found.runtimes)
        raise SpecError("unknown runtime", seen=wanted, allowed=", ".join(found.runtimes), next=hint)
    if wanted not in found.runtimes:
        raise SpecError(f"{wanted} does not run on {name}", seen=text, allowed=", ".join(found.runtimes) or "none")
    return Target(found, runtimes()[wanted])


def targets() -> list[Target]:
    """Every chip with every runtime it has."""
    return [Target(chip, runtimes()[name]) for chip in chips().values() for name in chip.runtimes]


def read_chip(path: Path) -> Chip:
    """One chip file (format in this module's docstring)."""
    where = f"{path.name}: "
    node = Node(
        read_yaml(path), where, "schema name vendor class sources memories compute power price runtimes unknown notes"
    )
    if node.raw("schema", ...) != 1:
        raise SpecError("unknown schema", where=node.at("schema"), seen=node.raw("schema"), allowed="1")
    sources = {str(key): str(value) for key, value in node.raw("sources", {}).items()}
    unknown = {str(key): str(value) for key, value in node.raw("unknown", {}).items()}
    chip = Chip(
        id=path.stem,
        name=node.text("name"),
        vendor=node.text("vendor"),
        kind=node.one_of("class", tuple(k for k in get_args(ChipClass) if k != "host")),
        memories=tuple(_memory(node, i, v, sources) for i, v in enumerate(node.many("memories"))),
        compute=tuple(_compute(node, i, v, sources) for i, v in enumerate(node.many("compute"))),
        power=tuple(_power(node, i, v, sources) for i, v in enumerate(node.many("power"))),
        price=_price(node, sources),
        runtimes=tuple(node.many("runtimes")),
        sources=sources,
        unknown=unknown,
        notes=node.text("notes", ""),
    )
    for block in ("memories", "compute", "power", "price"):
        if not getattr(chip, block) and block not in unknown:
            raise SpecError(f"{block} is absent without a reason", where=node.at(f"unknown.{block}"))
    for name in chip.runtimes:
        if name not in runtimes():
            hint = nearest(str(name), runtimes())
            raise SpecError("unknown runtime", where=node.at("runtimes"), seen=name, next=hint)
    return chip


def _source(node: Node, sources: dict[str, str]) -> str:
    key: str = node.text("source")
    if key not in sources:
        raise SpecError("source is not declared", where=node.at("source"), seen=key, allowed=", ".join(sources))
    return sources[key]


def _memory(parent: Node, index: int, value: Any, sources: dict[str, str]) -> Memory:
    node = Node(value, parent.at(f"memories[{index}]"), "name kind size bandwidth source")
    with node.here("size"):
        size = int(parse_quantity(node.raw("size"), MEMORY)) if "size" in node else None
    with node.here("bandwidth"):
        bandwidth = parse_quantity(node.raw("bandwidth"), BANDWIDTH) if "bandwidth" in node else None
    kind = node.one_of("kind", get_args(MemoryKind))
    return Memory(node.text("name"), kind, size, _source(node, sources), bandwidth)


def _compute(parent: Node, index: int, value: Any, sources: dict[str, str]) -> ComputeUnit:
    node = Node(value, parent.at(f"compute[{index}]"), "name kind core count clock vector peak source")
    with node.here("clock"):
        clock = parse_quantity(node.raw("clock"), CLOCK) if "clock" in node else None
    with node.here("peak"):
        peaks = {name: parse_quantity(rate, RATE) for name, rate in node.raw("peak", {}).items()}
    core = node.text("core")
    if core not in cores():
        raise SpecError("unknown core", where=node.at("core"), seen=core, next=nearest(core, cores()))
    kind = node.one_of("kind", ("cpu", "npu", "gpu", "dsp"))
    count = node.whole("count", 1, low=1)
    vector = tuple(node.many("vector"))
    return ComputeUnit(node.text("name"), kind, core, count, clock, _source(node, sources), vector, peaks)


def _power(parent: Node, index: int, value: Any, sources: dict[str, str]) -> PowerState:
    node = Node(value, parent.at(f"power[{index}]"), "state value low high source")
    figures = {}
    for key in ("value", "low", "high"):
        with node.here(key):
            figures[key] = parse_quantity(node.raw(key, node.raw("value", ...)), POWER)
    if not figures["low"] <= figures["value"] <= figures["high"]:
        raise SpecError("low ≤ value ≤ high does not hold", where=node.where, seen=value)
    return PowerState(
        node.one_of("state", STATES), figures["value"], figures["low"], figures["high"], _source(node, sources)
    )


def _price(parent: Node, sources: dict[str, str]) -> Price | None:
    if "price" not in parent:
        return None
    node = Node(parent.raw("price"), parent.at("price"), "value volume what date source")
    with node.here("value"):
        usd = parse_quantity(node.raw("value", ...), MONEY)
    what = node.one_of("what", ("chip", "module", "board"))
    return Price(usd, node.whole("volume", 1, low=1), what, str(node.raw("date", ...)), _source(node, sources))


def _range(node: Node, key: str) -> tuple[int, int, int]:
    values = []
    for item in node.many(key):
        with node.here(key):
            values.append(int(parse_quantity(item, MEMORY)))
    if len(values) != 3 or values != sorted(values):
        raise SpecError("low, typical, high are needed, in order", where=node.at(key), seen=node.raw(key))
    return values[0], values[1], values[2]


def _plugin_folders() -> list[Path]:
    return [Path(entry.load()()) for entry in entry_points(group="advisor.specs")]
