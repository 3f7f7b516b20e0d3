# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PCIe: on boards that have it a device comes and goes only in a ``pcie-root-port`` of its own.

Which port holds what is stored (``slots``), so that a device keeps its address in the guest; ports are spare from the start
on. On PCI boards (``pc``) each has a place of its own, from the last one down: QEMU fills the others from the first one up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from .part import Part
from .site import Site

_PCIE = re.compile(r"q35|^virt(-|$)|^sbsa")
# Eight ports share one place on the root bus, as functions of one device. Places 16 to 29 leave the lower ones to fixed devices.
_EIGHT, _FIRST, _MOST = 8, 16, 112
_SPARE = 4
_PCI = re.compile(r"^pc(-i440fx|$)")
_LAST, _PLACES = 31, 22


def has_ports(machine: str) -> bool:
    """Whether the versioned machine type's root bus is PCIe."""
    return bool(_PCIE.search(machine))


def has_slots(machine: str) -> bool:
    """Whether we say where on the board a device is."""
    return bool(_PCIE.search(machine) or _PCI.search(machine))


def allot(names: Iterable[str], slots: dict[str, int]) -> dict[str, int]:
    """``slots`` and a port for each device of ``names`` that has none, the lowest that is free."""
    slots = dict(slots)
    for name in names:
        if name not in slots:
            slots[name] = min(set(range(len(slots) + 1)) - set(slots.values()))
    return slots


def port_count(slots: dict[str, int]) -> int:
    """How many ports a machine gets at its start: those in use and some to spare, by eights."""
    needed = max(slots.values(), default=-1) + 1 + _SPARE
    return min(_MOST, -(-needed // _EIGHT) * _EIGHT)


def bus(device: str, site: Site) -> dict[str, str]:
    """The device's place, as a property."""
    slot = site.identity.get("slots", {}).get(device)
    if slot is None:
        return {}
    return {"bus": f"port-{slot}"} if has_ports(site.identity["machine"]) else {"bus": "pci.0", "addr": f"{_LAST - slot:x}"}


def why_full(parts: list[Part], site: Site) -> str:
    """Why the running machine has no port for one of the parts; empty when it has."""
    count = site.identity.get("pcie_ports", 0)
    places = [str(part.value.get("bus", "")) for part in parts if part.kind == "device"]
    full = any(place.startswith("port-") and int(place[5:]) >= count for place in places)
    if any(part.value.get("bus") == "pci.0" and int(part.value.get("addr", "1f"), 16) <= _LAST - _PLACES for part in parts if part.kind == "device"):
        return "no PCI slot is free"
    return "no PCIe port is free" if full else ""


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for number in range(site.identity.get("pcie_ports", 0)):
        place, function = divmod(number, _EIGHT)
        yield Part(
            "device",
            {
                "driver": "pcie-root-port",
                "id": f"port-{number}",
                "bus": "pcie.0",
                "addr": f"{_FIRST + place:x}.{function}",
                "chassis": number + 1,
                **({"multifunction": True} if function == 0 else {}),
            },
        )


OPTIONS = ()
