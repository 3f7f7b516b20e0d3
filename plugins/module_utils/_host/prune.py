# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that go: never one that a disk lies on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress

from .deadline import Deadline
from .images import Images
from .lock import try_lock

_ALONE = "uses images"


def unused(images: Images, in_use: set[str], without: str = "") -> list[str]:
    """The contents that nothing needs, were that name not there."""
    needed = {os.path.realpath(file) for file in (*in_use, *(image.file for image in images.all() if image.name != without))}
    files = (f"{images.root}/{entry}" for entry in _entries(images.root) if entry.endswith(".qcow2"))
    return [file for file in files if os.path.realpath(file) not in needed]


def leftovers(images: Images) -> list[str]:
    """What is left of fetches that were cut off, where nobody is at it."""
    work = f"{images.root}/work"
    return [f"{work}/{entry}" for entry in _entries(work) if not entry.endswith(".lock") and not _is_busy(f"{work}/{entry.partition('.')[0]}.lock")]


def _entries(directory: str) -> list[str]:
    with suppress(FileNotFoundError):
        return sorted(os.listdir(directory))
    return []


def _is_busy(lock: str) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def remove(images: Images, name: str, in_use: Callable[[], set[str]], deadline: Deadline) -> list[str]:
    async with images.lock("lock", deadline, fcntl.LOCK_EX, _ALONE):
        image = images.known(name)
        gone = [file for file in unused(images, in_use(), name) if image and file == image.file]
        with suppress(FileNotFoundError):
            os.unlink(f"{images.root}/names/{name}.json")
        for file in gone:
            os.unlink(file)
        return gone


async def prune(images: Images, in_use: Callable[[], set[str]], deadline: Deadline) -> list[str]:
    async with images.lock("lock", deadline, fcntl.LOCK_EX, _ALONE):
        gone = unused(images, in_use())
        for file in gone:
            os.unlink(file)
        for key in sorted({entry.partition(".")[0] for entry in _entries(f"{images.root}/work")}):
            gone += sweep(f"{images.root}/work/{key}")
        for entry in _entries(f"{images.root}/names"):
            if entry.endswith(".new"):  # cut off while it was written: whoever writes one has the lock too
                os.unlink(f"{images.root}/names/{entry}")
        return gone


def sweep(stem: str) -> list[str]:
    """Remove what is left of a source, unless somebody is at it; the files that went."""
    descriptor = try_lock(f"{stem}.lock")
    if descriptor is None:
        return []
    try:
        work, key = os.path.split(stem)
        left = [f"{work}/{entry}" for entry in _entries(work) if entry.startswith(f"{key}.")]
        for path in left:
            os.unlink(path)
        return [path for path in left if not path.endswith(".lock")]
    finally:
        os.close(descriptor)
