# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This host, as one caller sees it: its paths, its state DB, its supervisors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Union

from .._plan.record import Record
from .paths import Paths, find_paths
from .state import Store

if TYPE_CHECKING:
    from .._plan.network import NetworkRecord
    from .gate import Gate
    from .images import Images
    from .keeper import Keeper
    from .process import Process
    from .systemd import Systemd

    Supervisor = Union[Systemd, Process]


class Host:
    """Everything is found on first use: a task that needs no supervisor asks none."""

    def __init__(self, paths: Paths | None = None) -> None:
        self.paths = paths or find_paths()
        self.store = Store(self.paths)
        self._systemd: Systemd | None = None
        # Machines are prepared side by side: ports that others were just given, and one question to QEMU at a time.
        self.promised: dict[tuple[str, int], str] = {}
        # Machines that the same task removes: what they hold is free for others.
        self.leaving: set[str] = set()
        # Networks as the same task would leave them, in check mode.
        self.planned: dict[str, NetworkRecord] = {}
        self._probing: asyncio.Lock | None = None
        # Where machines are worked on side by side.
        self.gate: Gate | None = None
        self._keeper: Keeper | None = None
        self._images: Images | None = None
        self.looked: dict[str, dict[str, Any]] = {}
        # Whether what was found out may be stored for later tasks: not in check mode.
        self.keeps = True

    @property
    def probing(self) -> asyncio.Lock:
        if self._probing is None:
            self._probing = asyncio.Lock()
        return self._probing

    @property
    def keeper(self) -> Keeper:
        if self._keeper is None:
            from .keeper import Keeper

            self._keeper = Keeper(self.store)
        return self._keeper

    @property
    def images(self) -> Images:
        if self._images is None:
            from .images import Images

            self._images = Images(self.paths)
        return self._images

    def ports(self) -> dict[tuple[str, int], str]:
        """Who holds which ``(protocol, port)`` and keeps it."""
        return {port: name for port, name in self.store.ports().items() if name not in self.leaving}

    def choose_supervisor(self, wished: str) -> str:
        """``systemd`` where the user's manager answers, else ``process``; or what was wished."""
        if wished != "auto":
            return wished
        from .systemd import why_unusable

        return "process" if why_unusable(self.paths.runtime) else "systemd"

    def supervisor(self, record: Record) -> Supervisor:
        """The one that runs the machine.

        :raises HostError: it is systemd's, and no user manager answers.
        """
        if record.supervisor == "process":
            from .process import Process

            return Process({record.unit: record.directory})
        if self._systemd is None:
            from .systemd import Systemd

            self._systemd = Systemd(self.paths.runtime)
        return self._systemd

    async def close(self) -> None:
        """End what was opened for the machines of one task; all of it opens again when needed."""
        self._keeper = self._probing = self._images = self.gate = None
        self.looked.clear()
        if self._systemd is not None:
            await self._systemd.close()
            self._systemd = None
