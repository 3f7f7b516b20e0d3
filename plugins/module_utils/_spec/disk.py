# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks: empty ones, overlays on a local image, and files that exist already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .._errors import SpecError
from .option import LIVE, Option
from .part import Part
from .site import Site
from .size import format_size

# A node name of QEMU has at most 31 characters; ours are disk-<name>.
_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,25}$"
_NAME_EXPECTS = "1 to 26 letters, digits, '_', '.' or '-', the first a letter or digit"


def _shrinks(before: int | None, after: int | None) -> str | None:
    if before and after and after < before:
        return f"a disk never shrinks ({format_size(before)} → {format_size(after)}): what lies past its new end would be lost"
    return None


def _is_another(before: str | None, after: str | None) -> str | None:
    return f"{before} → {after} would be another disk; the data stays on the old one"


OPTIONS = (
    Option(
        "disks",
        "keyed",
        options=(
            Option("name", required=True, pattern=_NAME_PATTERN, expects=_NAME_EXPECTS),
            Option("size", "size", minimum=1 << 20, refuse=_shrinks),
            Option("image", "path", refuse=_is_another),
            Option("path", "path"),
            Option("format", choices=("qcow2", "raw"), refuse=_is_another),
            Option("readonly", "bool", False),
            Option("serial", pattern="^[A-Za-z0-9_.-]{1,20}$", expects="1 to 20 letters, digits, '_', '.' or '-'"),
            Option("cache", "str", "writeback", choices=("writeback", "none", "directsync", "unsafe")),
            Option("discard", "str", "unmap", choices=("unmap", "ignore")),
            Option("boot_index", "int", minimum=0, maximum=65535, expects="a number from 0 (first)"),
            Option("on_remove", "str", "keep", choices=("keep", "delete"), change=LIVE),
        ),
    ),
)


class DiskFile(NamedTuple):
    """A disk's file.

    :param image: the base of an overlay; image_format: what it was found to be.
    :param owned: it is ours: made, grown and deleted with the machine; else it came from outside by ``path``.
    """

    disk: str
    file: str
    format: str
    size: int | None
    image: str | None
    owned: bool
    image_format: str = ""


def fill(spec: dict[str, Any]) -> None:
    for disk in spec["disks"].values():
        if not disk["path"]:
            disk["format"] = disk["format"] or "qcow2"


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    taken: dict[str, str] = {}
    for name, disk in spec["disks"].items():
        path = f"disks[{name}]"
        # QEMU's own locks let many read one file, and one write it.
        other = taken.setdefault(disk["path"], name) if disk["path"] else name
        if other != name and not (disk["readonly"] and spec["disks"][other]["readonly"]):
            yield SpecError(f"{path}.path", f"{disk['path']} is the file of disks[{other}] too", hint="Give each its own, or make both readonly")
        if disk["path"] and (disk["image"] or disk["size"]):
            yield SpecError(path, "path names an existing file, so size and image do not go with it", hint="Keep one of them")
        if not (disk["path"] or disk["image"] or disk["size"]):
            yield SpecError(path, "needs one of size (a new disk), image (an overlay on it) or path (an existing file)", hint="Such as size: 10GiB")
        if disk["image"] and disk["format"] != "qcow2":
            yield SpecError(f"{path}.format", f"{disk['format']!r} cannot be an overlay", hint="Leave format out: an overlay is qcow2")


def disk_files(spec: dict[str, Any], site: Site) -> list[DiskFile]:
    """The files behind the disks, in declared order."""
    return [_disk_file(name, disk, site) for name, disk in spec["disks"].items()]


def _disk_file(name: str, disk: dict[str, Any], site: Site) -> DiskFile:
    found = site.identity.get("formats", {}).get(name, "raw")
    form = disk["format"] or found
    file = disk["path"] or f"{site.directory}/{name}.{form}"
    return DiskFile(name, file, form, disk["size"], disk["image"], owned=not disk["path"], image_format=found)


def files(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of the host that must be there before a start, by option."""
    for name, disk in spec["disks"].items():
        for key in ("image", "path"):
            if disk[key]:
                yield f"disks[{name}].{key}", disk[key]


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for item in disk_files(spec, site):
        disk = spec["disks"][item.disk]
        yield Part("blockdev", _node(item, disk))
        yield Part("device", _device(item.disk, disk))


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


def _device(name: str, disk: dict[str, Any]) -> dict[str, Any]:
    device = {
        "driver": "virtio-blk-pci",
        "id": f"disk-{name}",
        "drive": f"disk-{name}",
        "serial": disk["serial"] or name[:20],
        "write-cache": "off" if disk["cache"] == "directsync" else "on",
    }
    if disk["boot_index"] is not None:
        device["bootindex"] = disk["boot_index"]
    return device
