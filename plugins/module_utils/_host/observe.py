# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is really there of one machine."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import suppress
from typing import Any

from .._errors import HostError, UnresponsiveError
from .._plan.record import Record
from .._plan.wish import Observed
from .._spec.disk_file import disk_files
from .._spec.facts import Facts
from . import limits
from .deadline import Deadline
from .facts import ask
from .host import Host
from .liveness import age_of, command_line_of, living_pid, why_silent
from .paths import write_private
from .qmp import Monitor, open_monitor

# A monitor that works greets within milliseconds; under a heavy load within a second or two.
MONITOR_SECONDS = 8.0
_PAUSE = 0.02


async def observe(host: Host, record: Record | None, deadline: Deadline) -> Observed:
    """The machine's status by its pid file's lock, its unit and its monitor."""
    if record is None:
        return Observed("absent")
    while True:
        seen = await _look(host, record, deadline)
        # One that was just started, by systemd after a crash or by a task that was killed then, has its pid file before its monitor.
        if seen.status != "unresponsive" or deadline.over or age_of(seen.pid or 0) > MONITOR_SECONDS:
            return seen
        await asyncio.sleep(_PAUSE)


async def _look(host: Host, record: Record, deadline: Deadline) -> Observed:
    missing = _missing(record)
    pid = living_pid(record.directory) or await _await_return(host, record, deadline)
    if pid is None:
        return Observed("suspended" if record.suspended else "stopped", missing=missing)
    try:
        async with open_monitor(record.sockets["qmp"], deadline.within(MONITOR_SECONDS)) as monitor:
            applied = record.applied_to(pid)
            status, facts = await ask(monitor, applied)
            facts = facts._replace(version=monitor.qemu_version, started=record.started or applied)
            if _has_helpers(applied):
                from .helpers import orphans

                facts = facts._replace(devices=facts.devices - orphans(record, applied))
            if any(nic["network"] == "switch" for nic in applied.get("nics", {}).values()):
                from .wires import unwired

                facts = facts._replace(unwired=unwired(record, applied))
            if record.supervisor == "systemd" and host.paths.runtime and limits.is_touched(host.paths.runtime, record.unit):
                facts = facts._replace(unit=await host.supervisor(record).limits(record.unit))
            why = await _why(monitor, status)
            return Observed(
                status, pid, missing, monitor.qemu_version, why, spec=_in_force(host, record, applied, facts), facts=facts, strange=_why_strange(record, pid)
            )
    except UnresponsiveError as exc:
        if living_pid(record.directory) is None:
            return Observed("suspended" if record.suspended else "stopped", missing=missing)
        why = f"{exc.message} ({why_silent(pid)})"
        return Observed("unresponsive", pid, missing, why=why, spec=record.applied_to(pid), facts=Facts())


async def _why(monitor: Monitor, status: str) -> str:
    if status != "io-error":
        return ""
    from .trouble import io_error

    return await io_error(monitor)


def _has_helpers(spec: dict[str, Any]) -> bool:
    return bool(spec.get("tpm") or spec.get("shares")) or any(nic["network"] == "passt" for nic in spec.get("nics", {}).values())


def _in_force(host: Host, record: Record, applied: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """``applied`` itself when QEMU is so. Facts that were found to say so are remembered while QEMU runs: a task that
    sees the same again needs nothing of what interprets them."""
    stable = [sorted(value) if isinstance(value, frozenset) else value for value in facts]
    seal = hashlib.sha256(repr((applied, stable)).encode()).hexdigest()
    file = f"{record.run_dir}/seen"
    with suppress(OSError), open(file, encoding="ascii") as stream:
        if stream.read() == seal:
            return applied
    from .._spec.reality import in_force

    spec = in_force(applied, facts)
    if spec is applied and host.keeps:
        with suppress(HostError):
            write_private(file, seal, durable=False)
    return spec


def _why_strange(record: Record, pid: int) -> str:
    """Whether QEMU runs with another command line than we gave it."""
    argv = command_line_of(pid)  # its first word may be what a distribution's wrapper started
    return "" if not argv or [word for word in argv[1:] if word != "-S"] == record.argv[1:] else "QEMU was started with another command line than ours"


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
            return pid
        facts = (await supervisor.facts([record.unit]))[record.unit]
        if facts.at_rest:
            return living_pid(record.directory)
        await asyncio.sleep(_PAUSE * 5)
    return None


def _missing(record: Record) -> tuple[str, ...]:
    files = disk_files(record.declared, record.site())
    gone = [item.disk for item in files if item.disk in record.made and not os.path.exists(item.file)]
    return (*gone, *(path for path in record.made if path.startswith("/") and not os.path.exists(path)))
