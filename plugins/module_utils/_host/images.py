# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cache of images that disks lie on: contents by their sum, and names that point at them.

::

    images/<sha256>.qcow2      a content; <sha256>-raw.qcow2: of bytes that were said to be raw
    images/names/<name>.json   a name, its content and its source
    images/work/<key>.*        a source on its way, and its lock
    images/lock                shared by those who use contents, alone for who removes some

Lean: a task with nothing to do reads one name, and imports nothing more.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .deadline import Deadline
from .paths import Paths, make_private

if TYPE_CHECKING:
    from .._spec.image import Source
    from .checksum import Sum

_PAUSE = 0.05
_LOCK_SECONDS = 60


class Image(NamedTuple):
    """An image of the cache, as its name says.

    :param content: SHA-256 of the source's bytes, as they came; sha512: the same.
    :param file: the qcow2 that is made of them.
    :param stamp: size, time of change in ns and inode of ``path`` when it was read.
    :param etag, last_modified: what the server said of ``url``.
    :param fetched: when, in seconds since 1970.
    """

    name: str
    content: str
    file: str
    format: str = "qcow2"
    virtual_size: int = 0
    url: str | None = None
    path: str | None = None
    checksum: str | None = None
    source_format: str = ""
    sha512: str = ""
    stamp: tuple[int, ...] = ()
    etag: str | None = None
    last_modified: str | None = None
    fetched: float = 0


def _nobody(moment: str) -> None:
    return


class Images:
    """The cache of one user."""

    def __init__(self, paths: Paths) -> None:
        self.root = f"{paths.cache}/images"
        # Many machines of one task want the same image: its file of sums is asked for once.
        self._sums: dict[tuple[str, str | None], asyncio.Task[Sum]] = {}

    def known(self, name: str) -> Image | None:
        """The image that the name points at now, if it is still there. One small file is read."""
        try:
            with open(f"{self.root}/names/{name}.json", encoding="utf-8") as file:
                facts = json.load(file)
            facts["file"] = f"{self.root}/{facts['file']}"
            facts["stamp"] = tuple(facts["stamp"])
            image = Image(**{key: value for key, value in facts.items() if key in Image._fields})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return image if os.path.exists(image.file) else None

    def all(self) -> list[Image]:
        """Every image that has a name."""
        with suppress(FileNotFoundError):
            found = (self.known(entry[: -len(".json")]) for entry in sorted(os.listdir(f"{self.root}/names")) if entry.endswith(".json"))
            return [image for image in found if image]
        return []

    async def find(self, source: Source, deadline: Deadline, *, force: bool = False) -> Image | None:
        """The source's image, if its name points at what is wanted. Writes nothing; asks a server for sums alone.

        :param force: a server is asked too whether it has another file now, and a local file is read again.
        """
        from .bring import Errand

        return await Errand(self, source, deadline, force=force).find()

    async def bring(self, source: Source, deadline: Deadline, witness: Callable[[str], None] = _nobody, *, force: bool = False) -> Image:
        """The source's image: found, or fetched, verified, unpacked, converted and stored, and named.

        :raises LockedError: another task was at it until the deadline.
        :raises HostError: it cannot be had, is not what its checksum says, or leans on other files.
        """
        from .bring import Errand

        return await Errand(self, source, deadline, witness, force=force).run()

    @asynccontextmanager
    async def used(self, deadline: Deadline | None = None) -> AsyncIterator[None]:
        """While it is held nothing is removed: from looking an image up until the record says what lies on it."""
        import fcntl

        async with self.lock("lock", deadline or Deadline(_LOCK_SECONDS), fcntl.LOCK_SH, "removes images"):
            yield

    async def remove(self, name: str, in_use: Callable[[], set[str]], deadline: Deadline | None = None) -> list[str]:
        """Take the name away, and its content where nothing else needs it; the files that went.

        :param in_use: asked under the lock: the files that disks lie on.
        """
        from .prune import remove

        return await remove(self, name, in_use, deadline or Deadline(_LOCK_SECONDS))

    async def prune(self, in_use: Callable[[], set[str]], deadline: Deadline | None = None) -> list[str]:
        """Remove the contents that no name and no disk needs, and what is left of fetches that were cut off."""
        from .prune import prune

        return await prune(self, in_use, deadline or Deadline(_LOCK_SECONDS))

    @asynccontextmanager
    async def lock(self, file: str, deadline: Deadline, operation: int, what: str) -> AsyncIterator[None]:
        """Hold the lock of that file of the cache; one below ``work`` goes afterwards. :param what: who has it does, for the error."""
        from .lock import holder, try_lock

        path = f"{self.root}/{file}"
        while True:
            make_private(self.root)
            make_private(os.path.dirname(path))
            with suppress(FileNotFoundError):
                descriptor = try_lock(path, operation)
                if descriptor is not None:
                    break
            if deadline.over:
                from .._errors import LockedError

                raise LockedError(f"another task {what}: {holder(path)}", hint="Wait for it, or give this task a longer timeout")
            await asyncio.sleep(min(_PAUSE, deadline.left))
        try:
            yield
        finally:
            if file.startswith("work/"):
                os.unlink(path)
            os.close(descriptor)

    async def wanted(self, source: Source, deadline: Deadline) -> Sum | None:
        """The sum that the source must have; a server is asked once a task for its file of sums."""
        if not source.checksum:
            return None
        from .checksum import wanted
        from .fit import in_thread

        key = (source.checksum, source.url)
        if key not in self._sums:
            self._sums[key] = asyncio.ensure_future(in_thread(wanted, source.checksum, source.url, deadline))
        return await asyncio.shield(self._sums[key])

    def write(self, image: Image) -> None:
        """Point the name at the image."""
        from .paths import write_private

        make_private(f"{self.root}/names")
        facts: dict[str, Any] = {**image._asdict(), "file": os.path.basename(image.file)}
        write_private(f"{self.root}/names/{image.name}.json", json.dumps(facts))
