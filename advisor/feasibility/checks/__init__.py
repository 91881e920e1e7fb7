"""The coded remarks of a feasibility report. Adding one: a class in the file of its group, a row here, a test that it
fires and one that it does not."""

from __future__ import annotations

from advisor.feasibility.checks.base import Check
from advisor.feasibility.checks.chip import AcceleratorIdle, BeyondChip, NoInt8, OtherVolume, PriceUnknown
from advisor.feasibility.checks.data import AssumedData, AssumedVerdict, Given, Opaque
from advisor.feasibility.checks.energy import NoPowerStates, SleepDominates
from advisor.feasibility.checks.limits import CallOverhead, Reserved, Tight, Together, Unlimited

CHECKS: tuple[Check, ...] = (
    AssumedData(),
    AssumedVerdict(),
    Unlimited(),
    Reserved(),
    CallOverhead(),
    Tight(),
    Together(),
    SleepDominates(),
    NoPowerStates(),
    NoInt8(),
    AcceleratorIdle(),
    BeyondChip(),
    PriceUnknown(),
    OtherVolume(),
    Opaque(),
    Given(),
)
