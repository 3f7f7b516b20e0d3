# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as plain background processes, where there is no user's systemd.

Nothing restarts them and no limit is enforced. Sessions of their own keep them apart from the task that starts them;
who they are is told by the lock on their pid file (see ``liveness``).
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from .._errors import MaqetError
from . import detached
from .liveness import living_pid
from .supervisor import Service, UnitFacts


class Process:
    """:param directories: a machine's directory by its unit's name."""

    restarts = False

    def __init__(self, directories: dict[str, str]) -> None:
        self._directories = directories

    async def start(self, service: Service) -> None:
        if not service.helpers:
            await asyncio.to_thread(self._start, service)
            return
        from . import helpers

        await helpers.end_processes(service.directory)
        try:
            await asyncio.to_thread(helpers.start_processes, service)
            await asyncio.to_thread(self._start, service)
        except MaqetError:
            await helpers.end_processes(service.directory)
            raise

    @staticmethod
    def _start(service: Service) -> None:
        directory = service.directory
        argv = [*service.command, *(["-S"] if service.paused else [])]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptors = [
            os.open(f"{directory}/hello.json", os.O_RDONLY),
            os.open(f"{directory}/events.jsonl", flags, 0o600),
            os.open(f"{directory}/qemu.log", flags, 0o600),
        ]
        stdin, stdout, stderr = descriptors
        try:
            detached.start(argv, "QEMU", stdin=stdin, stdout=stdout, stderr=stderr)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    async def stop(self, unit: str) -> None:
        """Nothing starts it again; its helpers end with their QEMU, those whose QEMU never came do so here."""
        if os.path.exists(f"{self._directories[unit]}/helpers.json"):
            from .helpers import end_processes

            await end_processes(self._directories[unit])

    async def facts(self, units: list[str]) -> dict[str, UnitFacts]:
        return {unit: UnitFacts("active" if living_pid(self._directories[unit]) else "inactive") for unit in units}

    async def limits(self, unit: str) -> dict[str, Any]:
        """Nobody enforces any."""
        return {}

    async def set_properties(self, unit: str, properties: dict[str, str]) -> None:
        """Nobody enforces any."""

    async def details(self, unit: str) -> dict[str, Any]:
        return {"state": (await self.facts([unit]))[unit].state, "MainPID": living_pid(self._directories[unit]) or 0}
