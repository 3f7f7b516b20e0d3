# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is really there of one machine."""

from __future__ import annotations

import asyncio
import os
import re

from .._errors import HostError, UnresponsiveError
from .._plan.record import Record
from .._plan.wish import Observed
from .._spec.disk import disk_files
from .._spec.nic import forwards
from .deadline import Deadline
from .host import Host
from .liveness import living_pid, why_silent
from .qmp import open_monitor

# A monitor that works greets within milliseconds; under a heavy load within a second or two.
MONITOR_SECONDS = 8.0
_PAUSE = 0.02
# "  TCP[HOST_FORWARD]  12  127.0.0.1  2222  10.0.2.15  22": QMP has no query for it (see docs/decisions/0006).
_FORWARD = re.compile(r"(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)")


async def observe(host: Host, record: Record | None, deadline: Deadline) -> Observed:
    """The machine's status by its pid file's lock, its unit and its monitor."""
    if record is None:
        return Observed("absent")
    missing = _missing(record)
    pid = living_pid(record.directory) or await _await_return(host, record, deadline)
    if pid is None:
        return Observed("suspended" if record.suspended else "stopped", missing=missing)
    try:
        async with open_monitor(record.sockets["qmp"], deadline.within(MONITOR_SECONDS)) as monitor:
            status = (await monitor.execute("query-status"))["status"]
            return Observed(status, pid, missing, monitor.qemu_version)
    except UnresponsiveError as exc:
        if living_pid(record.directory) is None:
            return Observed("suspended" if record.suspended else "stopped", missing=missing)
        return Observed("unresponsive", pid, missing, why=f"{exc.message} ({why_silent(pid)})")


async def listening(record: Record) -> set[tuple[str, int]]:
    """The host's ports that the machine's QEMU listens on: its own word where it answers, else what was applied."""
    try:
        async with open_monitor(record.sockets["qmp"], Deadline(MONITOR_SECONDS)) as monitor:
            table = await monitor.execute("human-monitor-command", {"command-line": "info usernet"})
    except UnresponsiveError:
        return {(item.protocol, item.host) for item in forwards(record.applied or {"nics": {}}, record.identity) if item.host}
    return {(protocol.lower(), int(port)) for protocol, port in _FORWARD.findall(table)}


async def _await_return(host: Host, record: Record, deadline: Deadline) -> int | None:
    """The pid of a QEMU that systemd is about to start again after a crash."""
    if not record.argv:
        return None
    try:
        supervisor = host.supervisor(record)
    except HostError:
        return None  # no manager, no unit; a start says so itself
    while supervisor.restarts and not deadline.over:
        pid = living_pid(record.directory)
        if pid is not None:
            await _await_socket(record, deadline.within(MONITOR_SECONDS))
            return pid
        facts = (await supervisor.facts([record.unit]))[record.unit]
        if facts.at_rest:
            return living_pid(record.directory)
        await asyncio.sleep(_PAUSE * 5)
    return None


async def _await_socket(record: Record, deadline: Deadline) -> None:
    """A QEMU that was just started has its pid file before its monitor."""
    while not deadline.over:
        try:
            async with open_monitor(record.sockets["qmp"], deadline):
                return
        except UnresponsiveError:
            await asyncio.sleep(_PAUSE)


def _missing(record: Record) -> tuple[str, ...]:
    files = disk_files(record.declared, record.site())
    return tuple(item.disk for item in files if item.disk in record.made and not os.path.exists(item.file))
