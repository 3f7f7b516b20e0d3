# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files behind the disks. Lean: a task with nothing to do reads no more of a disk."""

from __future__ import annotations

from typing import Any, NamedTuple

from .site import Site


class DiskFile(NamedTuple):
    """A disk's file.

    :param image: what it is made of, a path or a name; copy: as a copy of it, not as an overlay on it.
    :param owned: it is ours: made, grown and deleted with the machine; else it came from outside by ``path``.
    """

    disk: str
    file: str
    format: str
    size: int | None
    image: str | None
    owned: bool
    copy: bool = False


def disk_files(spec: dict[str, Any], site: Site) -> list[DiskFile]:
    """The files behind the disks, in declared order; an empty drive has none."""
    return [disk_file(name, disk, site) for name, disk in spec["disks"].items() if disk["path"] or disk["device"] == "disk"]


def disk_file(name: str, disk: dict[str, Any], site: Site) -> DiskFile:
    form = disk["format"] or site.identity.get("formats", {}).get(name, "raw")
    file = disk["path"] or f"{site.directory}/{name}.{form}"
    return DiskFile(name, file, form, disk["size"], disk["image"], owned=not disk["path"], copy=bool(disk.get("copy")))
