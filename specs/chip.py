"""What a chip is: memories, compute units, power states, price, runtimes; every number with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ChipClass = Literal["mcu", "mcu+npu", "mpu", "mpu+npu", "gpu", "npu", "phone", "x86", "host"]
MemoryKind = Literal["ram", "flash", "dram", "storage"]
Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory region. `ram` is on-chip SRAM, `flash` executes or holds weights in place, `dram`/`storage` are
    what Linux-class boards have. `size_bytes` is None where the chip takes an external part of any size."""

    name: str
    kind: MemoryKind
    size_bytes: int | None
    source: str
    bandwidth_bytes_s: float | None = None


@dataclass(frozen=True, slots=True)
class Core:
    """Micro-architecture facts of a CPU core or accelerator family.

    `peak_macs_per_cycle` is what the instruction set can do at best on one core (an upper bound no program beats),
    per precision; a missing precision is done in the next wider one.
    """

    id: str
    peak_macs_per_cycle: dict[Precision, float]
    source: str


@dataclass(frozen=True, slots=True)
class ComputeUnit:
    """`count` cores of one kind. `peak_macs_s` (all cores together) overrides what core and clock imply."""

    name: str
    kind: Literal["cpu", "npu", "gpu", "dsp"]
    core: str
    count: int
    clock_hz: float | None
    source: str
    vector: tuple[str, ...] = ()
    peak_macs_s: dict[Precision, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PowerState:
    """Power drawn in a state: `active` (all CPUs busy), `idle`, `sleep` (RAM kept), `deep-sleep`."""

    name: Literal["active", "idle", "sleep", "deep-sleep"]
    power_mw: float
    low_mw: float
    high_mw: float
    source: str


@dataclass(frozen=True, slots=True)
class Price:
    usd: float
    volume: int
    what: Literal["chip", "module", "board"]
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A piece of silicon (or the module a team buys it as). `unknown` says why a figure is absent:
    keys `price`, `power`, `power.sleep`, `memories.dram`, `compute.npu`, …"""

    id: str
    name: str
    vendor: str
    kind: ChipClass
    memories: tuple[Memory, ...]
    compute: tuple[ComputeUnit, ...]
    power: tuple[PowerState, ...]
    price: Price | None
    runtimes: tuple[str, ...]
    sources: dict[str, str]
    unknown: dict[str, str]
    notes: str = ""

    def memory_bytes(self, *kinds: MemoryKind) -> int | None:
        """Total size of the regions of these kinds; None when there is none or one is of unknown size."""
        sizes = [m.size_bytes for m in self.memories if m.kind in kinds]
        return None if not sizes or None in sizes else sum(s for s in sizes if s is not None)

    @property
    def working_memory_bytes(self) -> int | None:
        """Where activations live: SRAM on a microcontroller, DRAM where there is any."""
        return self.memory_bytes("dram") or self.memory_bytes("ram")

    def power_state(self, name: str) -> PowerState | None:
        return next((state for state in self.power if state.name == name), None)


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """What a runtime costs on a target before any model is loaded, and what it accepts.

    `flash_bytes`/`ram_bytes` are (low, typical, high). `formats` are file kinds it runs. `runs_here` tells whether
    the product can execute it on this host (parity, accuracy) or only describe it.
    """

    id: str
    name: str
    formats: tuple[str, ...]
    precisions: tuple[Precision, ...]
    flash_bytes: tuple[int, int, int]
    ram_bytes: tuple[int, int, int]
    runs_here: bool
    source: str


@dataclass(frozen=True, slots=True)
class Target:
    """Chip and runtime together, written `chip:runtime`."""

    chip: Chip
    runtime: RuntimeFacts

    @property
    def id(self) -> str:
        return f"{self.chip.id}:{self.runtime.id}"

    @property
    def is_host(self) -> bool:
        return self.chip.id == "host"
