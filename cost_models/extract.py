"""Gathers what the fit needs from folders of published measurements and networks: facts and features, with sources.

The product carries the result (`data/facts.csv`, `data/networks.json`), so that the fit can be rerun from it alone.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from cost_models.read import read_workload
from cost_models.workload import Workload
from specs.errors import ModelFileError

GROUPS = ("conv", "dwconv", "dense", "other")
Features = dict[str, list[int]]
"""Group to [MACs, activation elements read and written, weight elements, operators, elements written]."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One published latency of a network whose graph is known."""

    runtime: str
    core: str
    board: str
    clock_mhz: float
    threads: int
    precision: str
    network: str
    latency_ms: float
    source: str


def group_of(kind: str) -> str:
    """The kind's column in the fit: matrix products by how they use the multipliers, all else by bytes."""
    return {"conv": "conv", "dwconv": "dwconv", "dense": "dense", "matmul": "dense", "recurrent": "dense"}.get(
        kind, "other"
    )


def features_of(workload: Workload) -> Features:
    """What the fit sees of a network: element counts, so that any precision follows."""
    result: Features = {group: [0] * 5 for group in GROUPS}
    for op in workload.operators:
        row = result[group_of(op.kind)]
        read, written = (sum(workload.tensors[i].elements for i in some) for some in (op.inputs, op.outputs))
        for column, value in enumerate((op.macs, read + written, op.params, 1, written)):
            row[column] += value
    return result


def read_facts(path: Path) -> list[Fact]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Fact(row["runtime"], row["core"], row["board"], float(row["clock_mhz"]), int(row["threads"]),
                 row["precision"], row["network"], float(row["latency_ms"]), row["source"])
            for row in csv.DictReader(file)
        ]  # fmt: skip


def write_facts(path: Path, facts: Iterable[Fact]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [f.name for f in fields(Fact)]
        writer.writerow(names)
        writer.writerows([getattr(fact, name) for name in names] for fact in facts)


def networks_in(folder: Path) -> dict[str, Features]:
    """Features of every .tflite and ncnn .param file below `folder`, by short name."""
    found: dict[str, Features] = {}
    for path in (*sorted(folder.rglob("*.tflite")), *sorted(folder.rglob("*.param"))):
        try:
            found[path.stem.rsplit("__", 1)[-1]] = features_of(read_workload(path))
        except ModelFileError:
            continue  # one unreadable network of a folder is no reason to have none
    return found


def facts_in(folder: Path) -> list[Fact]:
    """Latencies of the published tables in `folder` whose board, core, clock and network are known."""
    readers = {"mlperf_tiny": _mlperf, "stm32_modelzoo_2023": _stm32, "esp_tflite_micro": _esp, "mltk": _mltk,
               "ncnn_benchmark": _ncnn, "xnnpack": _xnnpack, "tf_slim_mobilenet": _slim}  # fmt: skip
    facts: list[Fact] = []
    for name, reader in readers.items():
        path = folder / f"{name}.csv"
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                facts += [f for row in csv.DictReader(file) if row["latency_ms"] for f in reader(row)]
    return facts


def _fact(row: dict[str, str], runtime: str, core: str, board: str, mhz: float, network: str, precision: str = "int8",
          threads: int = 1) -> Iterator[Fact]:  # fmt: skip
    source = f"{row['source'].split(' ')[0]} {row['source_path']}"
    yield Fact(runtime, core, board, float(mhz), threads, precision, network, float(row["latency_ms"]), source)


_MLPERF_NETWORK = {"deep autoencoder": "ad01_int8", "resnet8": "pretrainedResnet_quant", "ds-cnn": "kws_ref_model",
                   "mobilenetv1_0.25": "vww_96_int8", "1d-ds-cnn": "str_ww_ref_model"}  # fmt: skip
_MLPERF_RUNTIME = (("cube-ai", "stm32cube-ai"), ("tflite-micro", "tflm"), ("lite for micro", "tflm"),
                   ("microtvm", "microtvm"), ("plumerai", "plumerai"), ("hale", "hale"), ("onnc", "onnc"))  # fmt: skip
_MLPERF_BOARD = (("l4r5", "cortex-m4", 120), ("u385", "cortex-m33", 96), ("u585", "cortex-m33", 160),
                 ("h7a3", "cortex-m7", 280), ("cy8cproto", "cortex-m4", 150), ("nrf5340", "cortex-m33", 128),
                 ("m467", "cortex-m4", 200), ("xg24", "silabs-mvp", 78), ("d25", "andes-d25", 60),
                 ("d45", "andes-d45", 60))  # fmt: skip


def _mlperf(row: dict[str, str]) -> Iterator[Fact]:
    notes = dict(part.partition("=")[::2] for part in row["notes"].split(";"))
    system = f"{row['device']} {notes.get('system', '')}"
    runtime = next((name for key, name in _MLPERF_RUNTIME if key in f"{row['runtime']} {system}".lower()), "")
    if not runtime and notes.get("submitter") == "STMicroelectronics":
        runtime = "stm32cube-ai"  # two releases leave the field empty
    elif not runtime and notes.get("submitter") == "reference":
        runtime = "tflm"
    board = next((entry for entry in _MLPERF_BOARD if entry[0] in system.lower()), None)
    network = _MLPERF_NETWORK.get(row["model"])
    if not (runtime and board and network) or row["model_variant"] != "closed" or "internal" in row["runtime"].lower():
        return
    if "70mhz" in system.lower():
        return  # one run at a clock the notes contradict
    precision = "fp32" if system.endswith("_float") else "int8"
    if board[1] == "silabs-mvp":
        runtime = "silabs-mvp"
    yield from _fact(row, runtime, board[1], board[0], board[2], network, precision)


_STM32_BOARD = {"B-U585I-IOT02A": ("cortex-m33", 160), "STM32H747I-DISCO": ("cortex-m7", 400),
                "STM32H769I-DISCO": ("cortex-m7", 216), "STM32MP157F-DK2": ("cortex-a7", 800)}  # fmt: skip


def _stm32(row: dict[str, str]) -> Iterator[Fact]:
    network = row["model_variant"].rsplit("/", 1)[-1].removesuffix(".tflite")
    if row["model"].startswith("FdMobileNet 0.25"):
        network = f"fdmobilenet_0.25_{row['input_shape'].split('x')[0]}_int8"
    if row["precision"].lower() != "int8" or row["device"] not in _STM32_BOARD or not network:
        return
    core, mhz = _STM32_BOARD[row["device"]]
    linux = row["runtime"].startswith("TFLite")
    yield from _fact(row, "litert" if linux else "stm32cube-ai", core, row["device"], mhz, network,
                     threads=2 if linux else 1)  # fmt: skip


_ESP_CORE = {"ESP32-P4": "riscv-p4-pie", "ESP32-S3": "xtensa-lx7-pie", "ESP32": "xtensa-lx6",
             "ESP32-C3": "riscv-rv32imc"}  # fmt: skip


def _esp(row: dict[str, str]) -> Iterator[Fact]:
    # person detection is the grey-scale twin of the visual wake words network: 3 % fewer MACs in its first layer
    mhz = float(re.sub(r"\D", "", row["notes"]))
    runtime = "esp-nn" if "ESP-NN" in row["runtime"] else "tflm"
    yield from _fact(row, runtime, _ESP_CORE[row["chip"]], row["chip"], mhz, "vww_96_int8")


def _mltk(row: dict[str, str]) -> Iterator[Fact]:
    if row["latency_kind"] == "single measured" and row["compute_unit"].upper() == "MVP":
        yield from _fact(row, "silabs-mvp", "silabs-mvp", "EFR32xG24", 78, row["model"])


_NCNN_BOARD = (
    # text of the device, core, clock in MHz; fp16 arithmetic where the core has it (ncnn then uses it for "fp")
    ("AGX Orin", "cortex-a78", 2200), ("AX620A", "cortex-a7", 1000), ("AX630C", "cortex-a53", 1200),
    ("H2+, Cortex-A7", "cortex-a7", 1200), ("RK3228H", "cortex-a53", 1300), ("i.MX7 Dual", "cortex-a7", 1000),
    ("Khadas VIM3", "cortex-a73", 2200), ("Kirin 970", "cortex-a73", 2400), ("Jetson Nano", "cortex-a57", 1430),
    ("Rk3566", "cortex-a55", 1800), ("RK3566", "cortex-a55", 1800), ("RK3568 (Cortex-A55 2.0GHz", "cortex-a55", 2000),
    ("Raspberry Pi 3", "cortex-a53", 1400), ("Raspberry Pi 4", "cortex-a72", 1800),
    ("Raspberry Pi 5", "cortex-a76", 2400), ("Raspberry Pi Zero 2", "cortex-a53", 1000),
    ("RK3399 (", "cortex-a72", 1800), ("RK3588", "cortex-a76", 2400), ("QRB2210", "cortex-a53", 2000),
    ("SG2000", "riscv-c906v", 1000), ("N5105", "x86-tremont", 2900), ("Z8350", "x86-silvermont", 1920),
    ("EPYC 7742", "x86-zen2", 3400), ("V1605B", "x86-zen", 3600), ("i7-7700K", "x86-skylake", 4500),
    ("i7-11800H", "x86-sunny-cove", 4600),
)  # fmt: skip
_FP16_CORES = ("cortex-a55", "cortex-a76", "cortex-a78")


def _ncnn(row: dict[str, str]) -> Iterator[Fact]:
    if row["compute_unit"] != "CPU" or float(row["threads"] or 0) != 1 or "powersave=1" in row["notes"]:
        return
    board = next((entry for entry in _NCNN_BOARD if entry[0] in row["device"]), None)
    if board is None:
        return
    precision = "int8" if row["precision"] == "int8" else "fp16" if board[1] in _FP16_CORES else "fp32"
    yield from _fact(row, "ncnn", board[1], board[0], board[2], row["model_variant"], precision)


_PHONE = {"Pixel 1": ("kryo", 2150), "Pixel 2": ("cortex-a73", 2350), "Pixel 3": ("cortex-a75", 2800),
          "Pixel 3a": ("cortex-a75", 2000), "RPi 2 (BCM2836)": ("cortex-a7", 900),
          "RPi 3+ (BCM2837B0)": ("cortex-a53", 1400), "RPi 4 (BCM2711)": ("cortex-a72", 1500)}  # fmt: skip
_MOBILENETS = {"MobileNet v1 1.0X": "mobilenet", "MobileNet v2 1.0X": "mobilenet_v2",
               "MobileNet v3 Large": "mobilenet_v3", "mobilenet_v2_1.0_224": "mobilenet_v2",
               "mobilenet_v3 Large dm=1 (8-bit)": "mobilenet_v3"}  # fmt: skip


def _xnnpack(row: dict[str, str]) -> Iterator[Fact]:
    if row["model"] in _MOBILENETS and row["device"] in _PHONE and row["threads"] != "big cores":
        core, mhz = _PHONE[row["device"]]
        yield from _fact(row, "litert", core, row["device"], mhz, _MOBILENETS[row["model"]], "fp32",
                         4 if row["threads"] == "multi" else 1)  # fmt: skip


def _slim(row: dict[str, str]) -> Iterator[Fact]:
    # before XNNPACK became the default: the same cores, the interpreter's older float kernels
    if row["model"] in _MOBILENETS and row["device"] in _PHONE and row["precision"] == "int8":
        core, mhz = _PHONE[row["device"]]
        yield from _fact(row, "litert", core, row["device"], mhz, _MOBILENETS[row["model"]], "int8")
