# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lock a machine: whoever holds it may talk to its monitor and change it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from .._errors import HostError, LockedError
from .deadline import Deadline
from .paths import Paths, make_private

_PAUSE = 0.05
_NOTE = 120


class Held:
    """A lock that is held: by whoever has inherited its descriptor, too."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self.descriptor = descriptor

    def discard(self) -> None:
        """Remove the lock file, and directories that it alone needed: the machine is no more."""
        os.unlink(self._path)
        directory = os.path.dirname(self._path)
        try:
            os.rmdir(directory)
            os.rmdir(os.path.dirname(directory))
        except OSError:
            return  # others use them


@asynccontextmanager
async def hold(paths: Paths, name: str, deadline: Deadline) -> AsyncIterator[Held]:
    """Hold the machine's lock.

    :raises LockedError: naming the holder, when the deadline passed.
    """
    path = f"{paths.locks}/{name}"
    descriptor = await _acquire(path, paths, deadline)
    try:
        yield Held(path, descriptor)
    finally:
        os.close(descriptor)


async def _acquire(path: str, paths: Paths, deadline: Deadline) -> int:
    while True:
        descriptor = _try(path, paths)
        if descriptor is not None:
            return descriptor
        if deadline.over:
            who = holder(path)
            raise LockedError(f"another task works on the machine: {who}", hint="Wait for it, or give this task a longer timeout", holder=who)
        await asyncio.sleep(min(_PAUSE, deadline.left))


def _try(path: str, paths: Paths) -> int | None:
    try:
        return try_lock(path)
    except FileNotFoundError:
        # Another task may remove these directories in between; then the next try makes them again.
        make_private(paths.state)
        make_private(paths.locks)
        return None


def try_lock(path: str, operation: int = fcntl.LOCK_EX) -> int | None:
    """A descriptor that holds the lock until it is closed; None while another has it.

    :raises FileNotFoundError: without the file's directory.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise HostError(f"cannot open the lock {path}: {exc.strerror}", hint="Check its directory's owner and mode") from exc
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    # Removing a machine removes its lock file: a lock on a file that is gone protects nothing.
    if not os.fstat(descriptor).st_nlink:
        os.close(descriptor)
        return None
    with suppress(OSError):  # who holds it is for people; a full disk does not matter
        note = f"pid {os.getpid()} ({os.path.basename(sys.argv[0])}) since {time.strftime('%H:%M:%S')}"
        os.pwrite(descriptor, f"{note[:_NOTE]:<{_NOTE}}".encode(), 0)
    return descriptor


@asynccontextmanager
async def turn(path: str, place: str, deadline: Deadline) -> AsyncIterator[None]:
    """Hold something of a machine that runs, such as its console.

    :raises LockedError: naming the holder, when the deadline passed.
    """
    while True:
        descriptor = try_lock(path)
        if descriptor is not None:
            break
        if deadline.over:
            who = holder(path)
            raise LockedError(f"another task is at {place}: {who}", hint="Wait for it, or give this task a longer timeout", holder=who)
        await asyncio.sleep(min(_PAUSE, deadline.left))
    try:
        yield
    finally:
        os.close(descriptor)


def holder(path: str) -> str:
    """Who holds the lock, for people."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() or "unknown"
    except OSError:
        return "unknown"
