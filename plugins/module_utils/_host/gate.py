# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many machines are worked on at once, and when the guests of those that were started begin.

A guest's firmware takes more of a processor than its QEMU took to start. So guests begin together, when no machine is
worked on any more: the QEMUs of 50 machines are there in half the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# Nobody's guest waits longer for machines whose work is long: an image is fetched, a guest powers down.
_SECONDS = 3.0


class Gate:
    """One for all machines of a task.

    :param width: machines worked on at once.
    """

    def __init__(self, width: int) -> None:
        self._free = asyncio.Semaphore(width)
        self._here: set[str] = set()
        self._empty = asyncio.Event()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """While the machine is worked on."""
        self._here.add(name)
        self._empty.clear()
        await self._free.acquire()
        try:
            yield
        finally:
            self._leave(name)

    def has_others(self, name: str) -> bool:
        return bool(self._here - {name})

    async def wait_for_others(self, name: str, seconds: float) -> None:
        """The machine's turn ends; return when no other is worked on either, or that takes too long."""
        self._leave(name)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._empty.wait(), min(seconds, _SECONDS))

    def _leave(self, name: str) -> None:
        if name in self._here:
            self._here.remove(name)
            self._free.release()
            if not self._here:
                self._empty.set()
