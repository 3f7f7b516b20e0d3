# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What disks are made of, and whether those that were made still lie on it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from .._errors import CommandError, HostError, RefusedError, SpecError
from .._plan.disks import source_of, unmade
from .._plan.record import Record
from .._plan.steps import MakeDisk
from .._spec.disk_file import DiskFile, disk_files
from .._spec.size import format_size
from .deadline import Deadline
from .host import Host
from .images import Image, Images
from .paths import check_readable
from .qemu_img import base_facts, chain

Base = dict[str, Any]
"""``{image, content, file, format, stamp}``: as declared, sha256 of what was fetched, where it is, ``[bytes, mtime in ns]``."""


async def find_bases(host: Host, new: Record, deadline: Deadline) -> dict[str, Base]:
    """What each disk that is yet to be made can be made of; one whose image must be fetched first is left out.

    :raises MaqetError: naming the disk whose image is not there and cannot be fetched, or does not fit.
    """
    items = [item for item in unmade(new) if item.image]
    found = await asyncio.gather(*(_find(host, new, item, deadline) for item in items))
    return {item.disk: base for item, base in zip(items, found) if base}


async def _find(host: Host, new: Record, item: DiskFile, deadline: Deadline) -> Base | None:
    option, image = f"disks[{item.disk}].image", item.image or ""
    if os.path.exists(item.file) and item.disk not in new.anew and (item.disk in new.bases or not item.copy):
        return _kept(new, item, option)
    if "/" in image:
        facts = await _facts(host, option, image)
        _check_fits(option, item, facts["virtual-size"])
        return {"image": image, "content": "", "file": image, "format": facts["format"], "stamp": stamp(image)}
    source = source_of(new, item)
    known = await host.images.find(source, deadline) if source else host.images.known(image)
    if not known and not source:
        raise SpecError(option, f"there is no image {image!r} here", hint="Declare it under images, or fetch it with maqet_image; a path begins with /")
    if not known and source and source.path:
        check_readable(f"images[{image}].path", source.path)
    return base_of(item, known) if known else None


def _kept(new: Record, item: DiskFile, option: str) -> Base:
    """What the file lies on that a removed disk of that name left, or a task that was cut off.

    :raises RefusedError: it is not what is declared now.
    """
    base = new.bases.get(item.disk)
    if base and base["image"] == item.image and not item.copy:
        return base
    was = f"over {base['image']}" if base else "without an image"
    raise RefusedError(
        f"{option}: the file of a disk of that name is still here, and was made {was}: {item.file}",
        hint=f"Declare it as it was, use another name, or give its data up: recreate: [{item.disk}]",
        path=option,
    )


async def _facts(host: Host, option: str, image: str) -> dict[str, Any]:
    """Many machines of one task lie on one image: it is looked at once."""
    async with host.probing:
        if image not in host.looked:
            host.looked[image] = await base_facts(option, image)
        return host.looked[image]


def base_of(item: DiskFile, image: Image) -> Base:
    """
    :raises SpecError: the disk is smaller than the image.
    """
    _check_fits(f"disks[{item.disk}].image", item, image.virtual_size)
    return {"image": item.image, "content": image.content, "file": image.file, "format": image.format, "stamp": stamp(image.file)}


def _check_fits(option: str, item: DiskFile, size: int) -> None:
    if item.size and item.size < size:
        hint = "Give a size at least as large, or leave it out"
        raise SpecError(option, f"is larger ({format_size(size)}) than disks[{item.disk}].size", hint=hint)


def settle_base(images: Images, step: MakeDisk, record: Record) -> Base:
    """What the disk is made of, or was by a task that was cut off. The caller sees that the image store keeps it."""
    disk = step.disk
    if os.path.exists(disk.file) and not step.anew and disk.disk in record.bases:
        return record.bases[disk.disk]
    if step.base and os.path.exists(step.base["file"]):
        return step.base
    known = images.known(disk.image or "")
    if not known:
        raise HostError(f"disks[{disk.disk}].image: image {disk.image!r} was removed meanwhile", hint="Run the task again")
    return base_of(disk, known)


def stamp(file: str) -> list[int]:
    facts = os.stat(file)
    return [facts.st_size, facts.st_mtime_ns]


async def check_chains(new: Record) -> None:
    """Each disk that was made before lies on what it was made on, and that is as it was.

    :raises HostError: a start would give the guest other data than it wrote, or none.
    """
    todo = {item.disk for item in unmade(new)}
    await asyncio.gather(*(_check_chain(item, new.bases.get(item.disk)) for item in disk_files(new.declared, new.site()) if item.disk not in todo))


async def _check_chain(item: DiskFile, base: Base | None) -> None:
    if item.format != "qcow2":
        return
    option = f"disks[{item.disk}]"
    if base:
        _check_base(option, base)
    try:
        links = await chain(item.file)
    except CommandError as exc:
        raise HostError(f"{option}: {item.file} or what it lies on cannot be read: {exc.message}", hint="Check it with qemu-img info --backing-chain") from exc
    if links[0].get("format-specific", {}).get("data", {}).get("corrupt"):
        raise HostError(f"{option}: QEMU found {item.file} to be damaged", hint="Copy it, then look at it with qemu-img check")
    below = links[1]["filename"] if len(links) > 1 else None
    if item.owned and below and not base:
        raise HostError(f"{option}: {item.file} lies on {below} and was not made so", hint="Put the disk's own file back")
    if base and below and os.path.realpath(below) != os.path.realpath(base["file"]):
        raise HostError(f"{option}: {item.file} lies on {below} and was made on {base['file']}", hint=f"qemu-img rebase -u -b {base['file']} puts it back")


def _check_base(option: str, base: Base) -> None:
    if not os.path.exists(base["file"]):
        raise HostError(f"{option}: its image {base['file']} is gone, and the disk holds only what differs from it", hint="Put the same file back")
    # A content of the cache is what its name says; one that was fetched again is of another time.
    if base["stamp"] and not base["content"] and stamp(base["file"]) != base["stamp"]:
        seconds = base["stamp"][1] / 1e9
        raise HostError(
            f"{option}: its image {base['file']} was changed since the disk was made on it, which spoils the disk",
            hint=f"Put the old file back. If it is the same file as before: touch -d @{seconds:.9f} {base['file']}",
        )
