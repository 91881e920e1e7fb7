"""`init` and `targets`: what can be asked for, and asking for it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from advisor.commands.common import Parsers, add_json, print_json, write_text
from specs import catalog
from specs.chip import Chip, Target
from specs.errors import SpecError
from specs.units import human


def add(parsers: Parsers) -> None:
    init = parsers.add_parser("init", help="write a commented spec")
    init.add_argument("file", nargs="?", type=Path, default=Path("spec.yaml"), help="where to (default: spec.yaml)")
    init.add_argument("--name", help="the spec's name (default: the file's)")
    init.add_argument("--kind", choices=_KINDS, help="what is learned")
    init.add_argument("--data", help="`digits`, or a path relative to the spec")
    init.add_argument("--target", action="append", help="chip:runtime; repeat for several")
    init.add_argument("--metric", choices=("accuracy", "balanced-accuracy", "macro-f1"), default="accuracy")
    init.add_argument("--force", action="store_true", help="overwrite the file")
    init.set_defaults(run=run_init)

    targets = parsers.add_parser("targets", help="list targets; `targets show T` prints one with its sources")
    targets.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    targets.add_argument("target", nargs="?", help="chip or chip:runtime")
    targets.add_argument("--runtime", help="only targets with this runtime")
    add_json(targets)
    targets.set_defaults(run=run_targets)


_KINDS = ("image-classification", "audio-classification", "timeseries-classification")


def run_init(args: argparse.Namespace) -> int:
    from specs.template import template

    if args.file.exists() and not args.force:
        raise SpecError("the file exists", where=str(args.file), next="name another, or pass --force")
    kind = args.kind or _ask("What is learned?", _KINDS[0], _KINDS)
    data = args.data or _ask("Data (`digits`, or a path relative to the spec)", "digits", ())
    targets = args.target or _ask("Targets, separated by blanks", "host:onnxruntime", ()).split()
    for text in targets:
        catalog.target(text)
    write_text(args.file, template(args.name or args.file.stem, kind, data, targets, args.metric))
    print(f"wrote {args.file}; next: advisor feasibility {args.file}")
    return 0


def _ask(question: str, default: str, allowed: tuple[str, ...]) -> str:
    """The answer at a terminal; the default where nobody can answer."""
    if not sys.stdin.isatty():
        return default
    hint = f" ({', '.join(allowed)})" if allowed else ""
    while True:
        answer = input(f"{question}{hint} [{default}]: ").strip() or default
        if not allowed or answer in allowed:
            return answer


def run_targets(args: argparse.Namespace) -> int:
    if args.action == "show":
        if not args.target:
            raise SpecError("name a target", next="advisor targets show stm32h743:tflm")
        return _show(args)
    if args.target:
        raise SpecError("`list` takes no target", seen=args.target, next=f"advisor targets show {args.target}")
    if args.runtime and args.runtime not in catalog.runtimes():
        raise SpecError("unknown runtime", seen=args.runtime, allowed=", ".join(catalog.runtimes()))
    chosen = [t for t in catalog.targets() if args.runtime in (None, t.runtime.id)]
    if args.json:
        print_json({"schema": 1, "targets": [{**target_info(t), "chip": t.chip.id} for t in chosen]})
        return 0
    from advisor.report.text import table

    rows = []
    for chip in dict.fromkeys(t.chip.id for t in chosen):
        rows.append(_row(catalog.chips()[chip], [t.runtime.id for t in chosen if t.chip.id == chip]))
    print(table(("chip", "class", "compute", "RAM", "flash", "price", "runtimes"), rows))
    print(f"\n{len(rows)} chips, {len(chosen)} targets; `advisor targets show CHIP` prints one with its sources")
    return 0


def _row(chip: Chip, runtimes: list[str]) -> tuple[str, ...]:
    unit = chip.compute[0] if chip.compute else None
    clock = f" {human(unit.clock_hz, 'Hz')}" if unit and unit.clock_hz else ""
    price = f"{chip.price.usd:g} USD ({chip.price.what})" if chip.price else "–"
    compute = f"{unit.count}× {unit.name}{clock}"[:34] if unit else "–"
    flash = chip.memory_bytes("flash")
    ram = chip.working_memory_bytes
    return (chip.id, chip.kind, compute, human(ram, "B") if ram else "–", human(flash, "B") if flash else "–", price,
            " ".join(runtimes))  # fmt: skip


def _show(args: argparse.Namespace) -> int:
    name, _, runtime = args.target.partition(":")
    shown = catalog.target(args.target) if runtime else catalog.target(name)
    every = [shown] if runtime else [Target(shown.chip, catalog.runtimes()[r]) for r in shown.chip.runtimes]
    if args.json:
        print_json(
            {
                "schema": 1,
                "chip": chip_info(shown.chip),
                "targets": [target_info(t) | {"latency_basis": [_basis(t), *_calibrations(t)]} for t in every],
            }
        )
        return 0
    print(chip_text(shown.chip))
    print("\nruntimes")
    for t in every:
        flash, ram = t.runtime.flash_bytes, t.runtime.ram_bytes
        print(f"  {t.id}: {t.runtime.name}, {'/'.join(t.runtime.precisions)}; code {human(flash[1], 'B')} "
              f"({human(flash[0], 'B')}–{human(flash[2], 'B')}), RAM {human(ram[1], 'B')} "
              f"({human(ram[0], 'B')}–{human(ram[2], 'B')})  [{t.runtime.source}]")  # fmt: skip
        print(f"    latency figures: {_basis(t)}")
        for line in _calibrations(t):
            print(f"    {line}")
    return 0


def _basis(target: Target) -> str:
    from cost_models.layered import basis

    return basis(target)


def _calibrations(target: Target) -> list[str]:
    from advisor.calibrate.summary import calibration_summary

    return calibration_summary(target)


def chip_text(chip: Chip) -> str:
    """One chip for people: every number with its source, every absence with its reason."""
    lines = [f"{chip.name} ({chip.id}), {chip.vendor}, {chip.kind}", "", "memories"]
    for m in chip.memories:
        size = human(m.size_bytes, "B") if m.size_bytes is not None else "external, any size"
        speed = f", {m.bandwidth_bytes_s / 1e9:g} GB/s" if m.bandwidth_bytes_s else ""
        lines.append(f"  {m.name}: {m.kind}, {size}{speed}  [{m.source}]")
    lines += ["", "compute"]
    for u in chip.compute:
        clock = human(u.clock_hz, "Hz") if u.clock_hz else "clock unknown"
        peak = "".join(f", {p} ≤ {human(rate, '')}MAC/s" for p, rate in u.peak_macs_s.items())
        vector = f", {' '.join(u.vector)}" if u.vector else ""
        core = catalog.cores()[u.core]
        lines.append(f"  {u.name}: {u.count}× {u.kind} ({u.core}), {clock}{vector}{peak}  [{u.source}]")
        if core.peak_macs_per_cycle:
            bound = ", ".join(f"{p} {macs:g}" for p, macs in core.peak_macs_per_cycle.items())
            lines.append(f"    at most MACs a cycle and core: {bound}  [{core.source}]")
    lines += ["", "power states"]
    for s in chip.power:
        spread = f" ({human(s.low_mw, 'mW')}–{human(s.high_mw, 'mW')})" if s.low_mw != s.high_mw else ""
        lines.append(f"  {s.name}: {human(s.power_mw, 'mW')}{spread}  [{s.source}]")
    if chip.price:
        p = chip.price
        lines += ["", f"price: {p.usd:g} USD a {p.what} at {p.volume}, {p.date}  [{p.source}]"]
    if chip.unknown:
        lines += ["", "not known"] + [f"  {key}: {reason}" for key, reason in chip.unknown.items()]
    if chip.notes:
        lines += ["", chip.notes]
    return "\n".join(lines)


def chip_info(chip: Chip) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(chip)


def target_info(target: Target) -> dict[str, Any]:
    price = target.chip.price
    return {
        "target": target.id,
        "name": target.chip.name,
        "class": target.chip.kind,
        "runtime": target.runtime.name,
        "precisions": list(target.runtime.precisions),
        "ram_bytes": target.chip.working_memory_bytes,
        "flash_bytes": target.chip.memory_bytes("flash"),
        "price_usd": price.usd if price else None,
        "price_reason": "" if price else chip_reason(target.chip, "price"),
        "runs_here": target.runtime.runs_here,
    }


def chip_reason(chip: Chip, key: str) -> str:
    return chip.unknown.get(key, "not given in the catalogue")
