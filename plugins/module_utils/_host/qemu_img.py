# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk files, by ``qemu-img``. It is never pointed at a file that a QEMU has open."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from .._errors import CommandError, HostError
from .._spec.disk_file import DiskFile
from .command import find_program, run, run_aside
from .deadline import Deadline
from .paths import check_readable

_COPY_SECONDS, _SECONDS = 3600.0, 60.0
_HINT = "Install qemu-utils (Debian) or qemu-img (Fedora)"


def run_qemu_img(words: list[str], timeout: float) -> str:
    """What it says. It ends with us: one left alone would hold its locks on a machine's disks."""
    argv = [find_program("qemu-img", _HINT), *words]
    try:
        return run([find_program("setpriv", "Install util-linux"), "--pdeathsig", "KILL", "--", *argv], timeout=timeout)
    except CommandError as exc:
        raise CommandError(argv, exc.data["rc"], exc.data["stderr"]) from exc


async def qemu_img(deadline: Deadline, *words: str) -> str:
    """:func:`run_qemu_img` while other machines go on."""
    return await asyncio.to_thread(run_qemu_img, list(words), deadline.left)


async def image_info(file: str, form: str = "") -> dict[str, Any]:
    """What ``qemu-img info`` says of a file that nobody writes. :param form: what it is; without, its first bytes say."""
    facts: dict[str, Any] = await _info(file, *(["-f", form] if form else []))
    return facts


async def _info(file: str, *words: str) -> Any:
    return json.loads(await run_aside([find_program("qemu-img", _HINT), "info", "--output=json", "--force-share", *words, file]))


async def image_facts(option: str, file: str) -> dict[str, Any]:
    """:func:`image_info` of a file that a declaration names.

    :raises HostError: naming the option.
    """
    check_readable(option, file)
    try:
        return await image_info(file)
    except CommandError as exc:
        raise HostError(f"{option}: {file} cannot be used: {exc.message}", hint="Check it with qemu-img info", path=option) from exc


async def chain(file: str) -> list[dict[str, Any]]:
    """:func:`image_info` of a qcow2 file and of all that it lies on."""
    links: list[dict[str, Any]] = await _info(file, "--backing-chain", "-f", "qcow2")
    return links


async def make_disk(disk: DiskFile, base: dict[str, Any] | None = None, *, anew: bool = False) -> None:
    """The file under its final name, whole, or not at all. One that is there stays as it is, unless it is made ``anew``.

    :param base: ``file`` and ``format`` of what it is made of.
    """
    if os.path.exists(disk.file) and not anew:
        return
    temporary = f"{disk.file}.new"
    try:
        if base and disk.copy:
            await _copy(disk, base, temporary)
        else:
            await _create(disk, base, temporary)
        await asyncio.to_thread(put_in_place, temporary, disk.file)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


async def _create(disk: DiskFile, base: dict[str, Any] | None, file: str) -> None:
    argv = [find_program("qemu-img", _HINT), "create", "-q", "-f", disk.format]
    if base:
        argv += ["-b", base["file"], "-F", base["format"]]
    await run_aside([*argv, file, *([str(disk.size)] if disk.size else [])])


async def _copy(disk: DiskFile, base: dict[str, Any], file: str) -> None:
    await qemu_img(Deadline(_COPY_SECONDS), "convert", "-q", "-f", base["format"], "-O", disk.format, base["file"], file)
    if disk.size:
        await grow_disk(disk._replace(file=file))


def put_in_place(temporary: str, file: str) -> None:
    """Under its final name, ours alone, and still whole after a power cut."""
    os.chmod(temporary, 0o600)
    make_durable(temporary)
    os.replace(temporary, file)
    make_durable(os.path.dirname(file))


def make_durable(path: str) -> None:
    """It is still there after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def grow_disk(disk: DiskFile) -> None:
    """Give the file its new size; smaller is refused long before."""
    await qemu_img(Deadline(_SECONDS), "resize", "-q", "-f", disk.format, disk.file, str(disk.size))


def outside_of(facts: dict[str, Any]) -> str | None:
    """The other file that an image leans on, by what ``qemu-img info`` said of it."""
    outside: str | None = facts.get("full-backing-filename") or facts.get("format-specific", {}).get("data", {}).get("data-file")
    return outside


async def base_facts(option: str, image: str) -> dict[str, Any]:
    """:func:`image_facts` of one that disks can be made of.

    :raises HostError: it leans on another file of the host, which is how an image reads files of its host.
    """
    from .image_format import detect, leans_on

    check_readable(option, image)
    reason = leans_on(image, detect(image))  # before anything opens what it names
    if reason:
        raise HostError(f"{option}: {image} is no image by itself: {reason}", hint="Flatten it: qemu-img convert -O qcow2", path=option)
    facts = await image_facts(option, image)
    outside = outside_of(facts)
    if outside:
        raise HostError(f"{option}: {image} leans on another file of this host ({outside})", hint="Flatten it: qemu-img convert -O qcow2", path=option)
    return facts
