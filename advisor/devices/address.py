"""Devices by what users write for them: a name of the plug-in table, and an address where the device takes one."""

from __future__ import annotations

from advisor import plugins
from advisor.devices.base import Device
from specs.chip import Target


def open_device(text: str, target: Target) -> Device:
    """The device that `local` or `replay:FILE` names, as the given target.

    Raises:
        SpecError: no such device, or an address it cannot use.
    """
    name, _, address = text.partition(":")
    kind = plugins.load("devices", name)
    device: Device = kind(target, address) if address else kind(target)
    return device
