# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine's record with a new declaration: what is made once is made here, nothing is written."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from typing import Any

from .._errors import RefusedError, SpecError
from .._plan.record import Record
from .._plan.wish import Wish
from .._spec import slots
from .._spec.declaration import OPTIONS, declare, slot_names
from .._spec.disk_file import disk_files
from .._spec.firmware import nvram_name
from .._spec.forward import forwards
from .._spec.nic import make_mac
from .._spec.option import keep_order
from .._spec.validate import nearest
from .._spec.vsock import make_cid
from . import ports, wires
from .host import Host
from .probe import find_qemu, qemu_facts
from .qemu_img import image_facts


async def prepare(host: Host, wish: Wish, raw: dict[str, Any], old: Record | None, *, keep: bool) -> Record:
    """The record to be.

    :param raw: a declaration that is not the stored one.
    :param keep: whether what is asked of QEMU may be cached (not in check mode).
    """
    new = old.copy() if old else _blank(host, wish)
    new.raw, new.declared, new.refused = raw, declare(raw), {}
    if old:
        new.declared = keep_order(OPTIONS, old.declared, new.declared)
    await _identify(host, old, new, keep=keep)
    _sort_files(old, new)
    return new


def check_vacant(directory: str) -> None:
    """
    :raises RefusedError: files of a machine that is not known lie in a new one's directory: whose they are, only their user knows.
    """
    with suppress(FileNotFoundError):
        strange = [name for name in os.listdir(directory) if not name.startswith("machine.json")]
        if strange:
            hint = "Move them elsewhere first, or put its machine.json back too"
            raise RefusedError(f"{directory} holds files of a machine that is not known here ({strange[0]})", hint=hint)


def _blank(host: Host, wish: Wish) -> Record:
    name = wish.name
    check_vacant(f"{host.paths.machines}/{name}")
    return Record(name, host.choose_supervisor(wish.supervisor), f"{host.paths.machines}/{name}", host.paths.run_dir(name))


async def _identify(host: Host, old: Record | None, new: Record, *, keep: bool) -> None:
    spec, stored = new.declared, new.identity
    identity: dict[str, Any] = {"uuid": stored.get("uuid") or str(uuid.uuid4())}
    identity["salt"] = stored.get("salt") or uuid.uuid4().hex
    board = (spec["arch"], spec["machine"])
    same = old is not None and (old.declared["arch"], old.declared["machine"]) == board
    identity["machine"] = stored["machine"] if same else await _versioned(host, *board, keep=keep)
    identity["macs"] = {name: make_mac(identity["uuid"], name) for name in [*spec["nics"], *((old and old.applied) or {"nics": ()})["nics"]]}
    # A running QEMU still listens on ports that the declaration has dropped: they are known until it is told.
    listening = {item.key for item in forwards((old and old.applied) or {"nics": {}}, stored)}
    kept = {key: port for key, port in stored.get("ports", {}).items() if key in listening}
    identity["ports"] = {**kept, **ports.allot(new, {**host.ports(), **host.promised})}
    for item in forwards(spec, identity):
        if item.host:  # who comes first has it
            host.promised.setdefault((item.protocol, item.host), new.name)
    identity["formats"] = await _formats(old, new)
    if spec["vsock"]:
        identity["cid"] = stored.get("cid") or make_cid(identity["uuid"])
    identity.update(wires.known(host, new))
    identity["firmware"] = _firmware(new, identity["machine"], same=same)
    identity.update(await _seats(host, new, identity["machine"], keep=keep))
    new.identity = identity


async def _seats(host: Host, new: Record, machine: str, *, keep: bool) -> dict[str, Any]:
    """Which PCIe port each device has that can come and go, those of the running QEMU too."""
    drivers = {device["driver"] for spec in (new.declared, new.applied or {"devices": {}}) for device in spec["devices"].values()}
    known: set[str] = set()
    if drivers:
        async with host.probing:
            known = drivers & set((await qemu_facts(host.paths, find_qemu(new.declared["arch"]), keep=keep))["pci"])
    names = slot_names(new.declared, known) if slots.has_slots(machine) else []
    # What the running QEMU may still have keeps its port; a controller stays when its last disk goes.
    plugged = slot_names(new.applied, known) if new.applied else []
    kept = {name: slot for name, slot in new.identity.get("slots", {}).items() if name in {*names, *plugged, "scsi", "usb"}}
    return {"pci": sorted(known), "pcie_ports": new.identity.get("pcie_ports", 0), "slots": slots.allot(names, kept)}


async def _versioned(host: Host, arch: str, machine: str, *, keep: bool) -> str:
    """The machine type behind an alias (``q35`` → ``pc-q35-7.2``), so that a new QEMU does not change the board."""
    binary = find_qemu(arch)
    async with host.probing:
        machines = (await qemu_facts(host.paths, binary, keep=keep))["machines"]
    if machine not in machines:
        raise SpecError("machine", f"{binary} has no machine type {machine!r}", hint=nearest(machine, sorted(machines)))
    versioned: str = machines[machine]
    return versioned


def _firmware(new: Record, machine: str, *, same: bool) -> dict[str, Any]:
    """UEFI images by the variables that belong to each: one that was chosen for this board stays."""
    images: dict[str, Any] = new.identity.get("firmware", {}) if same else {}
    name = nvram_name(new.declared)
    if not name or name in images:
        return images
    from .firmware import find_firmware

    return {**images, name: find_firmware(new.declared["arch"], machine, secure=new.declared["secure_boot"])}


async def _formats(old: Record | None, new: Record) -> dict[str, str]:
    """The format of each existing file that a disk uses: looked at once, since a guest may write what looks like another.
    A file that is not there is told of later, with all that a start needs."""
    known = new.identity.get("formats", {})
    formats = {}
    for name, disk in new.declared["disks"].items():
        if disk["path"] and not disk["format"] and os.path.exists(disk["path"]):
            same = old is not None and old.declared["disks"].get(name, {}).get("path") == disk["path"]
            formats[name] = (same and known.get(name)) or (await image_facts(f"disks[{name}].path", disk["path"]))["format"]
    return formats


def _sort_files(old: Record | None, new: Record) -> None:
    """Which files stay ours and which go, now that disks may have left the declaration."""
    declared = set(new.declared["disks"])
    new.doomed = {disk: file for disk, file in new.doomed.items() if disk not in declared}
    if old:
        for item in disk_files(old.declared, old.site()):
            if item.disk not in declared and item.owned and old.declared["disks"][item.disk]["on_remove"] == "delete":
                new.doomed[item.disk] = item.file
    new.made = {name: size for name, size in new.made.items() if name in declared or name.startswith("/")}
    own = {item.disk for item in disk_files(new.declared, new.site()) if item.owned}
    new.anew = [name for name in new.anew if name in own]
