# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All families together: from what a user wrote to a machine's normal form, and on to its parts."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from . import (
    boot,
    channel,
    cloud_init,
    cpu,
    disk,
    display,
    escape,
    firmware,
    handed,
    identity,
    image,
    inputs,
    machine,
    memory,
    nic,
    rng,
    service,
    share,
    slots,
    smbios,
    tpm,
    vsock,
    watchdog,
)
from .helper import Helper
from .option import Option, complete, normalize
from .part import Part, unique
from .private_file import PrivateFile
from .site import Site

FAMILIES = (
    *(identity, machine, firmware, slots, cpu, memory, smbios, boot, channel, rng, display, tpm, vsock, share),
    *(image, disk, nic, cloud_init, handed, watchdog, inputs, escape, service),
)
OPTIONS: tuple[Option, ...] = tuple(option for family in FAMILIES for option in family.OPTIONS)


def declare(raw: dict[str, Any]) -> dict[str, Any]:
    """The normal form of a declaration.

    :param raw: the spec options as given, without those left out.
    :raises SpecError: the first thing that is wrong.
    """
    from .validate import validate  # jsonschema is slow to import; a declaration that is stored needs it no more

    validate(OPTIONS, raw)
    spec = normalize(OPTIONS, raw)
    for family in FAMILIES:
        getattr(family, "fill", _nothing)(spec)
    for family in FAMILIES:
        for error in getattr(family, "check", _nothing)(spec):
            raise error
    return spec


def upgrade(spec: dict[str, Any]) -> dict[str, Any]:
    """The normal form of today of one that an older release stored."""
    spec = complete(OPTIONS, spec)
    for family in FAMILIES:
        getattr(family, "fill", _nothing)(spec)
    return spec


def host_files(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of the host that the machine needs, with the option that names each."""
    for family in (boot, disk):
        yield from family.files(spec)


def helpers(spec: dict[str, Any], site: Site) -> list[Helper]:
    """The programs that must run beside QEMU, in the order of their start."""
    return [helper for family in (tpm, share, nic) for helper in family.helpers(spec, site)]


def private_files(spec: dict[str, Any], site: Site) -> list[PrivateFile]:
    """What QEMU reads from files that nobody else may read."""
    return [file for family in (display, cloud_init, handed) for file in family.private_files(spec, site)]


def qemu_types(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """What QEMU must have been built with, by option: types of its object model."""
    return list(display.types(spec))


def blueprint(spec: dict[str, Any], site: Site) -> list[Part]:
    """The machine as QEMU is told of it."""
    return unique(part for family in FAMILIES if hasattr(family, "parts") for part in family.parts(spec, site))


def slot_names(spec: dict[str, Any], pci: Container[str]) -> list[str]:
    """The devices that take a PCIe port, by id. :param pci: the drivers that are PCI devices."""
    return [*disk.slots(spec), *nic.slots(spec), *inputs.slots(spec), *escape.slots(spec, pci), *cloud_init.slots(spec)]


def _nothing(spec: dict[str, Any]) -> tuple[()]:
    return ()
