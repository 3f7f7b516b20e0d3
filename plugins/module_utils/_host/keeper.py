# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records on their way into the state DB: machines that are saved at the same moment share one transaction."""

from __future__ import annotations

import asyncio

from .._errors import MaqetError
from .._plan.record import Record
from .state import Store


class Keeper:
    """One for all machines of a task. A transaction costs its disk's latency, however many rows it has."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._turn = asyncio.Lock()

    async def save(self, record: Record) -> None:
        """Store the record; an error is its own."""
        saved = asyncio.get_running_loop().create_future()
        self._waiting.append((record, saved))
        async with self._turn:
            batch, self._waiting = self._waiting, []
            if batch:
                await self._save(batch)
        await saved

    async def _save(self, batch: list[tuple[Record, asyncio.Future[None]]]) -> None:
        try:
            await asyncio.to_thread(self._store.save, [record for record, _saved in batch])
        except (MaqetError, OSError) as exc:
            if len(batch) == 1:
                batch[0][1].set_exception(exc)
                return
            for one in batch:
                await self._save([one])
            return
        for _record, saved in batch:
            saved.set_result(None)
