# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine kept in sight while somebody waits for it: whether it still runs, and why not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .._errors import HostError, LockedError, MachineError, UnresponsiveError
from .._plan.record import Record
from . import lock, recorder
from .deadline import Deadline
from .host import Host
from .liveness import living_pid, why_silent
from .paths import last_words
from .qmp import Monitor, open_monitor

_PAUSE = 0.1
_LOOK_SECONDS = 2.0
# What QEMU calls a guest whose CPUs stand still until somebody does something.
STILL = {
    "paused": "it is paused",
    "prelaunch": "it was started paused",
    "io-error": "a disk cannot be written (io-error)",
    "internal-error": "QEMU cannot run its CPUs any more (internal-error)",
    "guest-panicked": "its guest's kernel panicked",
    "shutdown": "its guest has shut down",
    "watchdog": "its watchdog stopped it",
    "suspended": "its guest sleeps",
}


_LETS_GO_ON = {
    "paused": "maqet_vm with state: started lets it go on",
    "prelaunch": "maqet_vm with state: started lets it go on",
    "suspended": "maqet_qmp with command: system_wakeup wakes it",
}


def still(status: str) -> MachineError:
    """What to say of a guest that would have to run."""
    return MachineError(f"the guest stands still: {STILL.get(status, f'it is {status}')}", hint=_LETS_GO_ON.get(status, ""), status=status)


def unresponsive(error: UnresponsiveError, pid: int) -> UnresponsiveError:
    """The same with why, as far as the process shows it."""
    hint = "Use monitor.sock for a client of your own, never qmp.sock"
    return UnresponsiveError(f"unresponsive: {error.message} ({why_silent(pid)})", hint=hint, status="unresponsive")


async def await_pid(host: Host, record: Record, deadline: Deadline) -> int:
    """The pid of the machine's QEMU, also of one that systemd is about to start again.

    :raises MachineError: it does not run; why.
    """
    while True:
        pid = living_pid(record.directory)
        if pid is not None:
            return pid
        if deadline.over or await _is_at_rest(host, record):
            raise _ended(record)
        await asyncio.sleep(_PAUSE)


async def _is_at_rest(host: Host, record: Record) -> bool:
    if _is_worked_on(host, record):
        return False
    try:
        supervisor = host.supervisor(record)
    except HostError:
        return True
    return not supervisor.restarts or (await supervisor.facts([record.unit]))[record.unit].at_rest


def _is_worked_on(host: Host, record: Record) -> bool:
    """Whether another task may be about to start the machine again, or to remove it."""
    path = f"{host.paths.locks}/{record.name}"
    try:
        descriptor = lock.try_lock(path)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    if not os.path.isdir(record.directory):
        os.unlink(path)
    os.close(descriptor)
    return False


def _ended(record: Record) -> MachineError:
    if living_pid(record.directory) is None and not os.path.isdir(record.directory):
        return MachineError("the machine was removed meanwhile")
    ends = [event["data"] for event in recorder.events_since_start(record.directory) if event["event"] == "SHUTDOWN"]
    words = last_words(f"{record.directory}/qemu.log")
    if ends:
        who = "its guest" if ends[-1].get("guest") else "its host"
        return MachineError(f"the machine does not run: {who} ended it ({ends[-1].get('reason', 'no reason given')})", shutdown=ends[-1])
    said = f": {words[-1]}" if words else ""
    return MachineError(f"the machine does not run: QEMU ended without a word of its guest{said}", hint=f"Its log is {record.directory}/qemu.log", log=words)


async def watch(host: Host, record: Record, pid: int, boot: recorder.Boot, deadline: Deadline, *, may_pause: bool) -> None:
    """Return when another QEMU took the place of this one.

    :raises MachineError: it ended, or stands still.
    """
    position, doubt = boot.events, record.power == "paused"
    while True:
        if living_pid(record.directory) != pid:
            await await_pid(host, record, deadline)
            return
        events, position = recorder.read_events(record.directory, position)
        for event in events:
            doubt = event["event"] == "STOP" or (doubt and event["event"] != "RESUME")
        if doubt and not may_pause:
            doubt = not await _runs(host, record)
        await asyncio.sleep(_PAUSE)


async def _runs(host: Host, record: Record) -> bool:
    """
    :raises MachineError: it stands still, and nobody is at work on it who would let it go on.
    """
    try:
        status = (await query(host, record, Deadline(_LOOK_SECONDS), "query-status"))["status"]
    except (LockedError, UnresponsiveError):
        return False
    if status in STILL:
        raise still(status)
    return bool(status == "running")


async def query(host: Host, record: Record, deadline: Deadline, command: str, arguments: dict[str, Any] | None = None) -> Any:
    """One question to the machine's monitor, under its lock.

    :raises LockedError: another task works on it. :raises UnresponsiveError: no answer.
    """
    async with monitor_of(host, record, deadline) as monitor:
        return await monitor.execute(command, arguments)


@asynccontextmanager
async def monitor_of(host: Host, record: Record, deadline: Deadline) -> AsyncIterator[Monitor]:
    """The machine's monitor, under its lock.

    :raises LockedError: another task works on it. :raises UnresponsiveError: no answer.
    """
    async with lock.hold(host.paths, record.name, deadline) as held:
        if not os.path.isdir(record.directory):
            held.discard()
            raise UnresponsiveError("the machine was removed meanwhile")
        async with open_monitor(record.sockets["qmp"], deadline) as monitor:
            yield monitor
