# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that go: never one that a disk lies on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from .deadline import Deadline
from .images import Images
from .lock import try_lock

_ALONE = "uses images"


def unused(images: Images, in_use: set[str], without: str = "") -> list[str]:
    """The contents that nothing needs, were that name not there."""
    needed = {image.file for image in images.all() if image.name != without} | in_use
    with suppress(FileNotFoundError):
        files = (f"{images.root}/{entry}" for entry in sorted(os.listdir(images.root)) if entry.endswith(".qcow2"))
        return [file for file in files if file not in needed]
    return []


def leftovers(images: Images) -> list[str]:
    """Sources of which something is left and nobody is at it: the beginnings of their files."""
    with suppress(FileNotFoundError):
        return sorted({f"{images.root}/work/{entry.partition('.')[0]}" for entry in os.listdir(f"{images.root}/work")})
    return []


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
        for stem in leftovers(images):
            gone += _sweep(stem)
        _sweep_names(images)
        return gone


def _sweep_names(images: Images) -> None:
    """Names that were cut off while they were written: whoever writes one has the lock too."""
    with suppress(FileNotFoundError):
        for entry in os.listdir(f"{images.root}/names"):
            if entry.endswith(".new"):
                os.unlink(f"{images.root}/names/{entry}")


def _sweep(stem: str) -> Iterator[str]:
    """Remove what is left of a source, unless somebody is at it."""
    descriptor = try_lock(f"{stem}.lock")
    if descriptor is None:
        return
    try:
        directory, key = os.path.split(stem)
        for entry in sorted(os.listdir(directory)):
            if entry.startswith(f"{key}."):
                os.unlink(f"{directory}/{entry}")
                if not entry.endswith(".lock"):
                    yield f"{directory}/{entry}"
    finally:
        os.close(descriptor)
