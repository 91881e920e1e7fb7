"""The catalogue: every shipped chip, core and runtime is complete, and wrong files are told in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from specs import catalog
from specs.chip import Chip, Target
from specs.errors import SpecError

KIB = 1024
CHIPS = {name: chip for name, chip in catalog.chips().items() if name != "host"}

MINIMAL = """
schema: 1
name: Test
vendor: Nobody
class: mcu
sources: {ds: "Test datasheet"}
memories:
  - {name: SRAM, kind: ram, size: 64 KiB, source: ds}
compute:
  - {name: Cortex-M4, kind: cpu, core: cortex-m4, count: 1, clock: 84 MHz, source: ds}
power:
  - {state: active, value: 40 mW, low: 30 mW, high: 60 mW, source: ds}
price: {value: 4 USD, volume: 1000, what: chip, date: 2024-05, source: ds}
runtimes: [tflm]
"""


def chip_file(folder: Path, text: str, name: str = "test-chip") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_the_catalogue_has_the_chips_teams_choose_from() -> None:
    assert len(CHIPS) >= 40
    assert {
        "stm32h743", "stm32f746", "stm32u575", "stm32n657", "nrf52840", "nrf5340", "rp2040", "rp2350", "esp32",
        "esp32-s3", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2", "mimxrt1062", "max78000",
    } <= CHIPS.keys()  # fmt: skip
    assert {chip.kind for chip in CHIPS.values()} >= {"mcu", "mcu+npu", "mpu", "mpu+npu", "gpu", "npu", "phone", "x86"}


def test_the_running_machine_is_a_chip_of_the_catalogue() -> None:
    assert list(catalog.chips())[-1] == "host"
    assert catalog.chips()["host"].kind == "host"


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS.keys())
def test_every_shipped_chip_is_complete(chip: Chip) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", chip.id)
    assert chip.runtimes
    assert len(set(chip.runtimes)) == len(chip.runtimes)
    assert all(len(source) > 10 for source in chip.sources.values())
    for figure in (*chip.memories, *chip.compute, *chip.power, *([chip.price] if chip.price else [])):
        assert figure.source in chip.sources.values()
    for block in ("memories", "compute", "power", "price"):
        assert bool(getattr(chip, block)) != (block in chip.unknown), (
            f"{block}: a figure, or the reason why there is none"
        )
    assert all(chip.unknown.values())
    assert len({state.name for state in chip.power}) == len(chip.power)
    assert len({memory.name for memory in chip.memories}) == len(chip.memories)
    if chip.price:
        assert 0.1 < chip.price.usd < 5000
        assert chip.price.date
    for unit in chip.compute:
        assert unit.clock_hz is None or 10e6 <= unit.clock_hz <= 6e9
        assert unit.kind != "cpu" or unit.clock_hz


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS.keys())
def test_every_declared_source_stands_behind_a_figure(chip: Chip) -> None:
    figures = (*chip.memories, *chip.compute, *chip.power, *([chip.price] if chip.price else []))
    assert set(chip.sources.values()) == {figure.source for figure in figures}


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS.keys())
def test_power_states_are_ordered(chip: Chip) -> None:
    power = [state.power_mw for name in ("active", "idle", "sleep", "deep-sleep") if (state := chip.power_state(name))]
    assert power == sorted(power, reverse=True)
    assert all(0 < state.low_mw <= state.power_mw <= state.high_mw for state in chip.power)


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS.keys())
def test_microcontrollers_have_ram_and_boards_have_dram(chip: Chip) -> None:
    kinds = {memory.kind for memory in chip.memories}
    if chip.kind.startswith("mcu"):
        assert {"ram", "flash"} <= kinds
        assert "dram" not in kinds, "optional external memory belongs in the notes"
        assert chip.working_memory_bytes is not None
        assert 16 * KIB <= chip.working_memory_bytes <= 16 * KIB**2
        assert chip.runtimes[0] == "tflm"
    else:
        assert {"dram", "storage"} <= kinds
        assert "ram" not in kinds


@pytest.mark.parametrize(
    ("name", "ram_kib", "flash_kib"),
    [
        ("stm32h743", 128 + 64 + 512 + 288 + 64 + 4, 2048),
        ("stm32f746", 320 + 16 + 4, 1024),
        ("stm32u575", 768 + 16 + 2, 2048),
        ("stm32l4r5", 640, 2048),
        ("stm32h7a3", 1380, 2048),
        ("nrf52840", 256, 1024),
        ("nrf5340", 512, 1024),
        ("rp2040", 264, None),
        ("rp2350", 520, None),
        ("esp32", 520, None),
        ("esp32-s3", 512, None),
        ("mimxrt1062", 1024, None),
        ("max78000", 128, 512),
        ("k210", 8192, None),
    ],
)
def test_memory_totals_are_the_datasheets(name: str, ram_kib: int, flash_kib: int | None) -> None:
    chip = CHIPS[name]
    assert chip.memory_bytes("ram") == ram_kib * KIB
    assert chip.memory_bytes("flash") == (None if flash_kib is None else flash_kib * KIB)
    assert chip.working_memory_bytes == ram_kib * KIB


def test_boards_work_in_their_dram() -> None:
    assert CHIPS["raspberry-pi-zero-2"].working_memory_bytes == 512 * KIB**2
    assert CHIPS["raspberry-pi-4"].working_memory_bytes == 4 * KIB**3


def test_most_chips_have_a_price() -> None:
    assert sum(chip.price is not None for chip in CHIPS.values()) > len(CHIPS) / 2


def test_every_core_is_used_and_every_used_core_exists() -> None:
    used = {unit.core for chip in catalog.chips().values() for unit in chip.compute}
    assert used == set(catalog.cores())


def test_every_runtime_is_used_and_every_used_runtime_exists() -> None:
    used = {name for chip in catalog.chips().values() for name in chip.runtimes}
    assert used == set(catalog.runtimes())


def test_cores_bound_every_cpu_in_int8_and_fp32() -> None:
    for chip in CHIPS.values():
        for unit in chip.compute:
            peak = catalog.cores()[unit.core].peak_macs_per_cycle
            if unit.kind == "cpu":
                assert {"int8", "fp32"} <= peak.keys(), unit.core
                assert 0 < peak["fp32"] <= peak["int8"] <= 1024
            assert peak or unit.peak_macs_s or f"compute.{unit.kind}" in chip.unknown, (chip.id, unit.name)


def test_known_peaks_are_not_beaten_by_published_measurements() -> None:
    # hiroog/vfpbench, fp32 GFLOPS of all cores: two operations a MAC
    for name, gflops in {"raspberry-pi-3": 37.23, "jetson-nano": 45.51, "intel-n100": 185.02}.items():
        unit = CHIPS[name].compute[0]
        assert unit.clock_hz
        bound = 2 * catalog.cores()[unit.core].peak_macs_per_cycle["fp32"] * unit.clock_hz * unit.count
        assert gflops * 1e9 <= bound <= 1.3 * gflops * 1e9


def test_runtimes_say_what_they_cost_and_accept() -> None:
    runtimes = catalog.runtimes()
    assert {name for name, facts in runtimes.items() if facts.runs_here} == {"onnxruntime", "litert", "tflm"}
    assert runtimes["tflm"].precisions == ("fp32", "int8")
    assert runtimes["vela"].precisions == ("int8",)
    for facts in runtimes.values():
        assert facts.formats
        assert set(facts.precisions) <= set(catalog.PRECISIONS)
        assert "int8" in facts.precisions
        assert 0 < facts.flash_bytes[0] < facts.flash_bytes[2]
        assert 0 < facts.ram_bytes[0] < facts.ram_bytes[2]


def test_targets_are_chip_and_runtime() -> None:
    assert isinstance(catalog.target("stm32h743:stm32cube-ai"), Target)
    assert catalog.target("stm32h743").id == "stm32h743:tflm"
    assert catalog.target("raspberry-pi-4").runtime.id == "litert"
    assert len(catalog.targets()) == sum(len(chip.runtimes) for chip in catalog.chips().values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nrf5284:tflm", "did you mean 'nrf52840'?"),
        ("stm32h743:tlfm", "did you mean 'tflm'?"),
        ("stm32h743:hailort", "hailort does not run on stm32h743"),
        (7, "not a target"),
    ],
)
def test_a_wrong_target_is_told_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        catalog.target(text)
    assert says in caught.value.line()


def test_a_minimal_chip_file_is_read(tmp_path: Path) -> None:
    chip = catalog.read_chip(chip_file(tmp_path, MINIMAL))
    assert chip.id == "test-chip"
    assert chip.memory_bytes("ram") == 64 * KIB
    assert chip.compute[0].clock_hz == 84e6
    assert chip.price is not None
    assert chip.price.date == "2024-05"
    assert (chip.power[0].low_mw, chip.power[0].high_mw) == (30.0, 60.0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("vendor: Nobody", "vendro: Nobody", "test-chip.yaml: vendro: unknown key"),
        ("size: 64 KiB", "size: 64", "test-chip.yaml: memories[0].size"),
        ("size: 64 KiB", "size: 64 MHz", "test-chip.yaml: memories[0].size: wrong unit for memory"),
        ("kind: ram", "kind: rom", "test-chip.yaml: memories[0].kind: unknown value"),
        ("count: 1", "count: 0", "test-chip.yaml: compute[0].count"),
        ("core: cortex-m4", "core: cortex-m44", "test-chip.yaml: compute[0].core: unknown core"),
        ("84 MHz, source: ds", "84 MHz, source: dx", "test-chip.yaml: compute[0].source: source is not declared"),
        ("low: 30 mW", "low: 50 mW", "test-chip.yaml: power[0]: low ≤ value ≤ high does not hold"),
        ("state: active", "state: working", "test-chip.yaml: power[0].state: unknown value"),
        ("value: 4 USD", "value: 4", "test-chip.yaml: price.value: money needs a unit"),
        ("price: {", "# {", "test-chip.yaml: unknown.price: price is absent without a reason"),
        ("runtimes: [tflm]", "runtimes: [tlfm]", "test-chip.yaml: runtimes: unknown runtime"),
        ("class: mcu", "class: host", "test-chip.yaml: class: unknown value"),
        ("schema: 1", "schema: 2", "test-chip.yaml: schema: unknown schema"),
        ("name: Test\n", "", "test-chip.yaml: name: missing key"),
        ("runtimes: [tflm]", "runtimes: [tflm", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_wrong_chip_file_is_one_line_with_file_and_key(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in MINIMAL
    with pytest.raises(SpecError) as caught:
        catalog.read_chip(chip_file(tmp_path, MINIMAL.replace(old, new, 1)))
    assert says in caught.value.line()
    assert "test-chip.yaml" in caught.value.line()
    assert "\n" not in caught.value.line()
    assert caught.value.exit_status == 2


def test_an_id_defined_twice_names_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = chip_file(tmp_path, MINIMAL, "rp2040")
    monkeypatch.setattr(catalog, "_plugin_folders", lambda: [tmp_path])
    with pytest.raises(SpecError) as caught:
        catalog.chips.__wrapped__()
    line = caught.value.line()
    assert "chip 'rp2040' is defined twice" in line
    assert str(path) in line
    assert str(catalog.root() / "chips" / "rp2040.yaml") in line


def test_a_plugin_folder_adds_chips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chip_file(tmp_path, MINIMAL, "our-own-chip")
    monkeypatch.setattr(catalog, "_plugin_folders", lambda: [tmp_path])
    assert catalog.chips.__wrapped__().keys() == catalog.chips().keys() | {"our-own-chip"}


def test_the_data_says_what_it_is() -> None:
    for path in sorted((catalog.root() / "chips").glob("*.yaml")):
        document = yaml.safe_load(path.read_text("utf-8"))
        assert document["schema"] == 1, path.name
