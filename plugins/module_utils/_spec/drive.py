# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How QEMU has a disk: its block node, its device, and what can be done to both while they are in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .live import Plug, Tell, Unplug, Wait
from .part import Part, hot_plug, unplug
from .site import Site
from .slots import bus, has_ports, why_full

if TYPE_CHECKING:
    from .disk_file import DiskFile

_DRIVERS = {
    ("virtio", "disk"): "virtio-blk-pci",
    ("nvme", "disk"): "nvme",
    ("usb", "disk"): "usb-storage",
    ("sata", "disk"): "ide-hd",
    ("sata", "cdrom"): "ide-cd",
    ("scsi", "disk"): "scsi-hd",
    ("scsi", "cdrom"): "scsi-cd",
}
_MOST_QUEUES = 64
CONTROLLERS = {"scsi": "virtio-scsi-pci", "usb": "qemu-xhci"}


def cdrom_bus(arch: str) -> str:
    """The bus of a CD-ROM drive that every guest of the architecture can boot from."""
    return "sata" if arch in ("x86_64", "i386") else "scsi"


def slots(spec: dict[str, Any]) -> Iterator[str]:
    """The devices that take a PCIe port."""
    for name, disk in spec["disks"].items():
        if disk["bus"] in CONTROLLERS:
            yield disk["bus"]
        elif disk["bus"] != "sata":
            yield f"disk-{name}"


def plug(name: str, spec: dict[str, Any], site: Site) -> list[Part]:
    """The controller that the disk hangs on, its block node, its device."""
    from .disk_file import disk_file

    disk = spec["disks"][name]
    parts = [controller(disk["bus"], site)] if disk["bus"] in CONTROLLERS else []
    if disk["path"] or disk["device"] == "disk":
        parts.append(Part("blockdev", _node(disk_file(name, disk, site), disk)))
    device = _device(name, disk, site)
    if disk["bus"] == "sata":
        # A port takes one drive, an older board's two, and QEMU by itself tries the first port alone.
        number = [other for other, item in spec["disks"].items() if item["bus"] == "sata"].index(name)
        port, unit = divmod(number, 1 if has_ports(site.identity["machine"]) else 2)
        device.update(bus=f"ide.{port}", unit=unit)
    return [*parts, Part("device", device)]


def controller(kind: str, site: Site) -> Part:
    """The one controller of a bus: its id is the bus's name (``scsi``, ``usb``)."""
    return Part("device", {"driver": CONTROLLERS[kind], "id": kind, **bus(kind, site), **(_queues("num_queues", site) if kind == "scsi" else {})})


def _queues(word: str, site: Site) -> dict[str, int]:
    """By default a disk has a queue for each CPU of the start, and saved memory fits no other number: where CPUs come and go
    it must not follow them."""
    most = (site.started or site.spec).get("max_cpus")
    return {word: min(most, _MOST_QUEUES)} if most else {}


def _node(item: DiskFile, disk: dict[str, Any]) -> dict[str, Any]:
    cache = {"direct": disk["cache"] in ("none", "directsync"), "no-flush": disk["cache"] == "unsafe"}
    return {
        "node-name": f"disk-{item.disk}",
        "driver": item.format,
        "read-only": disk["readonly"],
        "discard": disk["discard"],
        "cache": cache,
        "file": {"driver": "file", "filename": item.file, "discard": disk["discard"], "cache": cache},
    }


def _device(name: str, disk: dict[str, Any], site: Site) -> dict[str, Any]:
    device: dict[str, Any] = {"driver": _DRIVERS[disk["bus"], disk["device"]], "id": f"disk-{name}", **bus(f"disk-{name}", site)}
    if disk["bus"] in CONTROLLERS:
        device["bus"] = f"{disk['bus']}.0"
    if disk["path"] or disk["device"] == "disk":
        device["drive"] = f"disk-{name}"
    if device["driver"] == "virtio-blk-pci":
        device.update(_queues("num-queues", site))
    device["serial"] = disk["serial"] or name[:20]
    if disk["device"] == "disk":
        device["write-cache"] = "off" if disk["cache"] == "directsync" else "on"
    if disk["boot_index"] is not None:
        device["bootindex"] = disk["boot_index"]
    return device


def live(change: Any, site: Site) -> list[Any]:
    """A whole disk added or removed."""
    name, disk = change.where[-1], change.after or change.before
    if disk["bus"] == "sata":
        return [Wait("QEMU's sata ports take and give no drive while the machine runs")]
    parts = plug(name, {"disks": {name: disk}}, site)
    if change.after is None:
        # QEMU (up to 10.2) leaks the backend of a drive that was empty at first, and with it the medium that is in it.
        first = tuple(_eject(name)) if disk["device"] == "cdrom" else ()
        return [Unplug(parts[-2:] if parts[-2].kind == "blockdev" else parts[-1:], first)]
    reason = why_full([part for part in parts if part.value.get("id") not in site.facts.devices], site)
    return [Wait(reason)] if reason else [Plug(parts)]


def live_size(change: Any, site: Site) -> list[Any]:
    from .disk_file import disk_file

    name = change.where[1]
    if change.after is None:
        return []
    if site.running.get("disks", {}).get(name, site.spec["disks"][name])["bus"] == "nvme":
        return [Wait("QEMU's nvme disks keep their size while the machine runs")]
    # The running machine may still have what was declared before: somebody's file, or a CD.
    if site.facts.blocks.get(f"disk-{name}", {}).get("file") != disk_file(name, site.spec["disks"][name], site).file:
        return [Wait("the running machine has another file there")]
    return [Tell([{"execute": "block_resize", "arguments": {"node-name": f"disk-{name}", "size": change.after}}])]


def live_throttle(change: Any, site: Site) -> list[Any]:
    """QEMU takes all limits at once, so the other one is said again."""
    name = change.where[1]
    limits = {**site.spec["disks"][name]["throttle"], change.option.name: change.after}
    # Two devices keep their drive in a part of theirs. One that runs says where: its bus may be another than is declared now.
    inner = {"virtio": "/virtio-backend", "usb": f"/disk-{name}.0/legacy[0]"}.get(site.spec["disks"][name]["bus"], "")
    known = site.facts.blocks.get(f"disk-{name}", {}) if site.facts else {}
    arguments = {"id": known.get("qdev") or f"/machine/peripheral/disk-{name}{inner}", "iops": limits["iops"] or 0, "bps": limits["bps"] or 0}
    arguments.update({f"{kind}_{way}": 0 for kind in ("iops", "bps") for way in ("rd", "wr")})
    return [Tell([{"execute": "block_set_io_throttle", "arguments": arguments}])]


def live_medium(change: Any, site: Site) -> list[Any]:
    """Another medium in a CD-ROM drive, or none."""
    from .disk_file import disk_file

    name = change.where[1]
    disk = {**site.spec["disks"][name], "path": change.after}
    if site.facts.blocks.get(f"disk-{name}", {}).get("tray_open") is None:
        return [Wait("a disk in use does not become another file")]
    drive = {"id": f"disk-{name}"}
    commands = [*_eject(name), unplug(Part("blockdev", {"node-name": f"disk-{name}"}))]
    if change.after:
        commands.append(hot_plug(Part("blockdev", _node(disk_file(name, disk, site), disk))))
        commands.append({"execute": "blockdev-insert-medium", "arguments": {**drive, "node-name": f"disk-{name}"}})
    commands.append({"execute": "blockdev-close-tray", "arguments": drive})
    return [Tell(commands)]


def _eject(name: str) -> list[dict[str, Any]]:
    drive = {"id": f"disk-{name}"}
    return [{"execute": "blockdev-open-tray", "arguments": {**drive, "force": True}}, {"execute": "blockdev-remove-medium", "arguments": drive}]


def observe(spec: dict[str, Any], facts: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Where QEMU has a disk otherwise than the spec says: place and value there."""
    for name, disk in spec["disks"].items():
        block = facts.blocks.get(f"disk-{name}")
        if block is None:
            continue
        here = ("disks", name)
        if disk["device"] == "cdrom":
            path = None if block["tray_open"] else block["file"]
            if path != disk["path"]:
                yield (*here, "path"), path
        elif block["inserted"]:
            if disk["size"] and block["size"] != disk["size"]:
                yield (*here, "size"), block["size"]
            for key in ("iops", "bps"):
                if block[key] != disk["throttle"][key]:
                    yield (*here, "throttle", key), block[key]
