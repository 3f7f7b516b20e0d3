# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks and CD-ROMs: empty ones, overlays on an image, copies of one, and files that exist already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from . import drive
from .option import LIVE, Option
from .part import Part
from .site import Site
from .size import format_size

# A node name of QEMU has at most 31 characters; ours are disk-<name>.
_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,25}$"
_NAME_EXPECTS = "1 to 26 letters, digits, '_', '.' or '-', the first a letter or digit"
_IMAGE_PATTERN = r"^([/~]|[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$)"
_IMAGE_EXPECTS = "an absolute path, or the name of an image"


def _shrinks(before: int | None, after: int | None) -> str | None:
    if before and after and after < before:
        return f"a disk never shrinks ({format_size(before)} → {format_size(after)}): what lies past its new end would be lost"
    return None


def _is_another(before: str | None, after: str | None) -> str | None:
    return f"{before} → {after} would be another disk; the data stays on the old one"


_ANOTHER = "it would be another disk: give it another name"
_THROTTLE = "a number a second from 1; leave it out for no limit"

OPTIONS = (
    Option(
        "disks",
        "keyed",
        change=LIVE,
        live=drive.live,
        device="disk-{}",
        note="not on bus `sata`; on `virtio` and `nvme` one comes where a PCIe port is free, and goes when the guest agrees",
        options=(
            Option("name", required=True, pattern=_NAME_PATTERN, expects=_NAME_EXPECTS),
            Option("device", "str", "disk", choices=("disk", "cdrom")),
            Option("size", "size", minimum=1 << 20, refuse=_shrinks, change=LIVE, live=drive.live_size, note="it grows; to make it smaller is impossible"),
            Option("image", "path", pattern=_IMAGE_PATTERN, expects=_IMAGE_EXPECTS, refuse=_is_another, note=_ANOTHER),
            Option("copy", "bool", False, refuse=_is_another, note=_ANOTHER),
            Option("path", "path", change=LIVE, live=drive.live_medium, note="the medium of a `cdrom`; for a disk at the next start"),
            Option("format", choices=("qcow2", "raw"), refuse=_is_another, note=_ANOTHER),
            Option("bus", choices=("virtio", "scsi", "sata", "nvme", "usb")),
            Option("readonly", "bool", False),
            Option("serial", pattern="^[A-Za-z0-9_.-]{1,20}$", expects="1 to 20 letters, digits, '_', '.' or '-'"),
            Option("cache", "str", "writeback", choices=("writeback", "none", "directsync", "unsafe")),
            Option("discard", "str", "unmap", choices=("unmap", "ignore")),
            Option("boot_index", "int", minimum=0, maximum=65535, expects="a number from 0 (first)"),
            Option(
                "throttle",
                "map",
                options=(
                    Option("iops", "int", minimum=1, expects=_THROTTLE, change=LIVE, live=drive.live_throttle, told=True),
                    Option("bps", "size", minimum=512, change=LIVE, live=drive.live_throttle, told=True),
                ),
            ),
            Option("on_remove", "str", "keep", choices=("keep", "delete"), change=LIVE),
        ),
    ),
)


def fill(spec: dict[str, Any]) -> None:
    for disk in spec["disks"].values():
        cdrom = disk["device"] == "cdrom"
        disk["bus"] = disk["bus"] or (drive.cdrom_bus(spec["arch"]) if cdrom else "virtio")
        disk["readonly"] = disk["readonly"] or cdrom
        if not disk["path"] and not cdrom:
            disk["format"] = disk["format"] or "qcow2"


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    yield from _check_order(spec)
    taken: dict[str, str] = {}
    for name, disk in spec["disks"].items():
        path = f"disks[{name}]"
        # QEMU's own locks let many read one file, and one write it.
        other = taken.setdefault(disk["path"], name) if disk["path"] else name
        if other != name and not (disk["readonly"] and spec["disks"][other]["readonly"]):
            yield SpecError(f"{path}.path", f"{disk['path']} is the file of disks[{other}] too", hint="Give each its own, or make both readonly")
        if disk["path"] and (disk["image"] or disk["size"]):
            yield SpecError(path, "path names an existing file, so size and image do not go with it", hint="Keep one of them")
        if disk["device"] == "cdrom":
            yield from _check_cdrom(path, disk)
        elif not (disk["path"] or disk["image"] or disk["size"]):
            yield SpecError(path, "needs one of size (a new disk), image (an overlay on it) or path (an existing file)", hint="Such as size: 10GiB")
        if disk["bus"] == "sata" and "x86" not in spec["arch"] and spec["arch"] != "i386":
            yield SpecError(f"{path}.bus", f"'sata' is no bus of {spec['arch']} machines", hint="Use virtio or scsi")
        if disk["copy"] and not disk["image"]:
            yield SpecError(f"{path}.copy", "copies an image, and none is given", hint="Add image, or leave copy out")
        if disk["image"] and not disk["copy"] and disk["format"] != "qcow2":
            yield SpecError(f"{path}.format", f"{disk['format']!r} cannot be an overlay", hint="Leave format out: an overlay is qcow2. Or say copy: true")


def _check_order(spec: dict[str, Any]) -> Iterator[SpecError]:
    firsts: dict[int, str] = {}
    for name, disk in spec["disks"].items():
        if disk["boot_index"] is not None and firsts.setdefault(disk["boot_index"], name) != name:
            other = firsts[disk["boot_index"]]
            yield SpecError(f"disks[{name}].boot_index", f"{disk['boot_index']} is that of disks[{other}] too", hint="Give each its own, or leave one out")


def _check_cdrom(path: str, disk: dict[str, Any]) -> Iterator[SpecError]:
    if disk["bus"] not in ("sata", "scsi"):
        yield SpecError(f"{path}.bus", f"{disk['bus']!r} has no CD-ROM drives", hint="Use sata or scsi, or leave it out")
    for key in ("size", "image"):
        if disk[key]:
            yield SpecError(f"{path}.{key}", "does not go with device: cdrom", hint="Give the medium by path, or leave path out for an empty drive")
    if any(disk["throttle"].values()):
        yield SpecError(f"{path}.throttle", "does not go with device: cdrom", hint="Leave it out")


def files(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of the host that must be there before a start, by option."""
    for name, disk in spec["disks"].items():
        if disk["path"]:
            yield f"disks[{name}].path", disk["path"]


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for name in spec["disks"]:
        yield from drive.plug(name, spec, site)
    # One whose last disk went while the machine ran is still there, and in its saved memory.
    yield from (drive.controller(kind, site) for kind in drive.CONTROLLERS if kind in site.identity.get("slots", {}))


slots = drive.slots
observe = drive.observe
