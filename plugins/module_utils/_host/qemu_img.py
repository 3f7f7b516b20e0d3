# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk files, by ``qemu-img``. It is never pointed at a file that a QEMU has open."""

from __future__ import annotations

import json
import os
from typing import Any

from .._errors import CommandError, HostError, SpecError
from .._spec.disk_file import DiskFile
from .._spec.size import format_size
from .command import find_program, run_aside
from .paths import check_readable

_HINT = "Install qemu-utils (Debian) or qemu-img (Fedora)"


async def image_info(file: str) -> dict[str, Any]:
    """What ``qemu-img info`` says of a file that nobody writes."""
    output = await run_aside([find_program("qemu-img", _HINT), "info", "--output=json", "--force-share", file])
    facts: dict[str, Any] = json.loads(output)
    return facts


async def image_facts(option: str, file: str) -> dict[str, Any]:
    """:func:`image_info` of a file that a declaration names.

    :raises HostError: naming the option.
    """
    check_readable(option, file)
    try:
        return await image_info(file)
    except CommandError as exc:
        raise HostError(f"{option}: {file} cannot be used: {exc.message}", hint="Check it with qemu-img info", path=option) from exc


async def make_disk(disk: DiskFile) -> None:
    """The file under its final name, whole, or not at all. One that is there stays as it is."""
    if os.path.exists(disk.file):
        return
    temporary = f"{disk.file}.new"
    argv = [find_program("qemu-img", _HINT), "create", "-q", "-f", disk.format]
    if disk.image:
        argv += ["-b", os.path.abspath(disk.image), "-F", disk.image_format]
    argv.append(temporary)
    if disk.size:
        argv.append(str(disk.size))
    try:
        await run_aside(argv)
        os.chmod(temporary, 0o600)
        os.replace(temporary, disk.file)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


async def grow_disk(disk: DiskFile) -> None:
    """Give the file its new size; smaller is refused long before."""
    await run_aside([find_program("qemu-img", _HINT), "resize", "-q", "-f", disk.format, disk.file, str(disk.size)])


async def base_format(disk: str, image: str, size: int | None) -> str:
    """The format of an image that can be the base of a disk of ``size`` bytes.

    :raises HostError: it leans on another file of the host, which is how an image reads files of its host.
    """
    path = f"disks[{disk}].image"
    facts = await image_facts(path, image)
    outside = facts.get("full-backing-filename") or facts.get("format-specific", {}).get("data", {}).get("data-file")
    if outside:
        raise HostError(f"{path}: {image} leans on another file of this host ({outside})", hint="Flatten it: qemu-img convert -O qcow2")
    if size and size < facts["virtual-size"]:
        hint = "Give a size at least as large, or leave it out"
        raise SpecError(path, f"is larger ({format_size(facts['virtual-size'])}) than disks[{disk}].size", hint=hint)
    form: str = facts["format"]
    return form
