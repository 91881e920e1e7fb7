"""Energy, battery life and unit cost: the arithmetic, exactly."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cost_models import fit_energy
from cost_models.energy import battery_days, energy_of, power_of, price_note, unit_cost
from cost_models.estimate import Estimate
from specs import catalog
from specs.chip import Chip, PowerState, Price, Target
from specs.limits import Battery


@pytest.fixture
def chip(make_target: Callable[..., Target]) -> Chip:
    states = (PowerState("active", 50, 40, 60, "test"), PowerState("sleep", 0.1, 0.05, 0.2, "test"))
    return dataclasses.replace(make_target().chip, power=states)


LATENCY = Estimate(100, 50, 200, "predicted")


def test_energy_is_power_times_time(chip: Chip) -> None:
    energy = energy_of(LATENCY, chip)
    assert (energy.low, energy.value, energy.high, energy.source) == (2.0, 5.0, 12.0, "predicted")
    assert (power_of(chip).low, power_of(chip).value, power_of(chip).high) == (40, 50, 60)


def test_absence_passes_its_reason_on(chip: Chip) -> None:
    assert energy_of(Estimate.absent("no clock"), chip).reason == "no clock"
    without = dataclasses.replace(chip, power=())
    assert energy_of(LATENCY, without).reason == "nobody measured it"
    assert power_of(without).value is None


def test_battery_life_of_a_duty_cycle(chip: Chip) -> None:
    # 5 mJ and 100 ms awake each second, 900 ms asleep at 0.1 mW: 5 + 0.09 mW on the average
    battery = Battery(capacity_mah=1000, voltage_v=3.0, every_ms=1000, sleep_ua=None)
    days = battery_days(battery, energy_of(LATENCY, chip), LATENCY, chip)
    assert days.value == pytest.approx(3000 / 5.09 / 24)
    assert days.high == pytest.approx(3000 / (2 + 0.05 * 0.95) / 24)
    assert days.low == pytest.approx(3000 / (12 + 0.2 * 0.8) / 24)


def test_sleep_current_of_the_spec_and_other_stages_count(chip: Chip) -> None:
    # 100 uA at 3 V is 0.3 mW; 50 ms of capture at 50 mW add 2.5 mJ
    battery = Battery(1000, 3.0, 1000, 100)
    days = battery_days(battery, energy_of(LATENCY, chip), LATENCY, chip, pipeline_ms=50)
    assert days.value == pytest.approx(3000 / (5 + 2.5 + 0.3 * 0.85) / 24)


def test_work_longer_than_its_period_never_sleeps(chip: Chip) -> None:
    days = battery_days(Battery(1000, 3.0, 10, 0), energy_of(LATENCY, chip), LATENCY, chip)
    assert days.value == pytest.approx(3000 / 50 / 24)


def test_battery_life_needs_a_sleep_figure(chip: Chip) -> None:
    without = dataclasses.replace(chip, power=chip.power[:1])
    estimate = battery_days(Battery(1000, 3.0, 1000, None), energy_of(LATENCY, chip), LATENCY, without)
    assert "sleep" in estimate.reason
    assert battery_days(Battery(1, 1, 1, 1), Estimate.absent("no power"), LATENCY, chip).reason == "no power"


def test_unit_cost_is_the_catalogue_price(chip: Chip) -> None:
    assert unit_cost(chip).reason == "not sold"
    assert price_note(chip) == ""
    priced = dataclasses.replace(chip, price=Price(4.0, 1000, "chip", "2024-05", "distributor"))
    estimate = unit_cost(priced, 1000)
    assert (estimate.low, estimate.value, estimate.high, estimate.source) == (3.2, 4.0, 5.0, "assumed")
    assert unit_cost(priced, 1).high == 8.0
    assert "2024-05" in price_note(priced)


def test_published_energies_teach_a_chip_its_power() -> None:
    chip = catalog.target("stm32l4r5:stm32cube-ai").chip
    power = power_of(chip, "stm32cube-ai")
    # eleven submissions drew 33 to 78 mW (MLPerf Tiny v0.5 to v1.3)
    assert (power.source, power.n) == ("predicted", 28)
    assert power.low < 40 < power.value < 60 < power.high
    energy = energy_of(Estimate(100, 80, 125, "predicted"), chip, "stm32cube-ai")
    assert energy.value == pytest.approx(power.value / 10)
    # independent errors: wider than either alone, narrower than both at once
    assert power.low * 0.08 < energy.low < power.low * 0.1
    assert energy.n == 28


def test_a_chip_without_states_takes_after_its_family(chip: Chip) -> None:
    cousin = dataclasses.replace(chip, id="stm32u3c5", power=())
    power = power_of(cousin)
    known = power_of(dataclasses.replace(chip, id="stm32u385", power=()))
    assert power.source == "predicted"
    assert power.high / power.low > known.high / known.low
    assert power_of(dataclasses.replace(chip, id="rp9999", power=())).value is None


def test_own_states_come_before_the_familys(chip: Chip) -> None:
    assert power_of(dataclasses.replace(chip, id="stm32l476")).source == "assumed"


def test_fitted_power_is_that_of_the_facts_carried() -> None:
    found = fit_energy.fit_energy(fit_energy.read_facts(fit_energy.HERE / "energy_facts.csv"))
    carried = json.loads((fit_energy.HERE / "energy.json").read_text())
    assert carried["fitted_on"] == found["fitted_on"]
    for name, group in found["groups"].items():
        assert carried["groups"][name]["mw_per_mhz"] == pytest.approx(group["mw_per_mhz"], rel=1e-3)


def test_a_network_new_to_a_board_is_within_a_fifth() -> None:
    facts = fit_energy.read_facts(fit_energy.HERE / "energy_facts.csv")
    spread = fit_energy.best_spread(facts)
    errors = sorted(
        abs(math.exp(fit_energy.left_out(facts, spread, fact, "network")[0] - fact.log_power) - 1) for fact in facts
    )
    assert errors[len(errors) // 2] < 0.1
    assert errors[int(0.9 * len(errors))] < 0.2


def test_tables_without_the_energies_leave_the_facts_carried(tmp_path: Path) -> None:
    fit_energy.refit(tmp_path, None, tmp_path)
    assert (tmp_path / "energy.json").read_text() == (fit_energy.HERE / "energy.json").read_text()
