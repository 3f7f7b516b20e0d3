# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine's QEMU started and ended."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from .._errors import MaqetError, QmpError, StartError, UnresponsiveError
from .._plan.record import Record
from .._plan.wish import Observed
from . import recorder
from .deadline import Deadline
from .liveness import living_pid, send_signal, wait_for_end
from .paths import last_words, make_private, size_of, write_private
from .qmp import Monitor, open_monitor
from .supervisor import Service, joined_script

if TYPE_CHECKING:
    from .gate import Gate
    from .host import Supervisor

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.03
_BREATH = 0.1
# A guest may sleep through its first power button while it boots.
_AGAIN_SECONDS = 10.0
_QUIT_SECONDS = 5.0
# Before this, silence is a busy host; after it we ask the supervisor.
_DOUBT_SECONDS = 1.0


async def launch(record: Record, supervisor: Supervisor, service: Service, deadline: Deadline, gate: Gate | None = None) -> Observed:
    """Start QEMU, wait for its greeting, and look at it.

    :param gate: where other machines may be worked on: then its guest begins with theirs.
    :raises StartError: it ended first: exit, argv and its last words.
    """
    make_private(os.path.dirname(record.run_dir))
    make_private(record.run_dir)
    recorder.prepare(record.directory, resumes=record.suspended)
    if service.helpers:
        from . import helpers

        helpers.prepare(service)
    if service.joins:
        from . import joined

        write_private(joined_script(service), inspect.getsource(joined), durable=False)
    logged = size_of(_log(record))
    if gate and not service.paused and gate.has_others(record.name):
        service = service._replace(paused=True)
    else:
        gate = None
    await supervisor.start(service)  # where it fails nothing runs: a unit of that name is somebody else's
    try:
        return await _greeting(record, supervisor, logged, deadline, gate)
    except MaqetError as exc:
        if service.helpers and isinstance(exc, StartError):
            helpers.explain(service, exc)
        await halt(record, supervisor)
        raise


async def _greeting(record: Record, supervisor: Supervisor, logged: int, deadline: Deadline, gate: Gate | None) -> Observed:
    pause, begun = _FIRST_PAUSE, time.monotonic()
    while True:
        if os.path.exists(record.sockets["qmp"]):
            try:
                async with open_monitor(record.sockets["qmp"], deadline) as monitor:
                    status = await _begin(record, monitor, deadline, gate)
                    return Observed(status, living_pid(record.directory), qemu_version=monitor.qemu_version)
            except UnresponsiveError:
                pass  # an old socket, or one that is not listened on yet
        doubt = size_of(_log(record)) > logged or time.monotonic() - begun > _DOUBT_SECONDS
        if doubt and await _has_ended(record, supervisor):
            raise _start_error(record, logged, "QEMU ended before it answered")
        if deadline.over:
            raise _start_error(record, logged, f"QEMU did not answer within {deadline.seconds:g} s")
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE)


async def _begin(record: Record, monitor: Monitor, deadline: Deadline, gate: Gate | None) -> str:
    """The status, once a guest that was held back runs."""
    if gate:
        await gate.wait_for_others(record.name, deadline.left / 2)
        await monitor.execute("cont")
        return "running"
    status: str = (await monitor.execute("query-status"))["status"]
    return status


async def _has_ended(record: Record, supervisor: Supervisor) -> bool:
    if living_pid(record.directory):
        return False
    await asyncio.sleep(_BREATH)  # between its first words and its pid file, or systemd's notice of its exit
    if living_pid(record.directory):
        return False
    facts = (await supervisor.facts([record.unit]))[record.unit]
    return facts.ended and living_pid(record.directory) is None


def _start_error(record: Record, logged: int, message: str) -> StartError:
    words = last_words(_log(record), logged)
    said = f": {words[-1]}" if words else ""
    return StartError(f"{message}{said}", hint=f"Its log is {_log(record)}", argv=record.argv, log=words)


async def end(record: Record, supervisor: Supervisor, *, force: bool, shutdown: Deadline) -> str:
    """Stop QEMU by the gentlest means that works, and keep it stopped; which one worked.

    Rungs: power button, the button again, ``quit``, SIGKILL. ``force`` begins at ``quit``.
    """
    pid = living_pid(record.directory)
    how = "was stopped already"
    if pid is not None:
        how = await _climb_down(record, pid, force=force, shutdown=shutdown)
    await halt(record, supervisor)
    return how


async def halt(record: Record, supervisor: Supervisor) -> None:
    """No QEMU, no unit that starts another, no sockets."""
    while True:
        pid = living_pid(record.directory)
        if pid is not None:
            send_signal(record.directory, signal.SIGKILL)
            await wait_for_end(pid, Deadline(_QUIT_SECONDS))
        await supervisor.stop(record.unit)
        # An exit that systemd took for a failure may have brought another QEMU up just before.
        if living_pid(record.directory) is None:
            break
    shutil.rmtree(record.run_dir, ignore_errors=True)


async def _climb_down(record: Record, pid: int, *, force: bool, shutdown: Deadline) -> str:
    if not force:
        first = shutdown.within(min(_AGAIN_SECONDS, shutdown.seconds / 2))
        for rung in (first, shutdown):
            # A guest whose CPUs are stopped hears no button.
            if await _ask(record, "cont", "system_powerdown") and await wait_for_end(pid, rung):
                return "the guest powered down"
    if await _ask(record, "quit") and await wait_for_end(pid, Deadline(_QUIT_SECONDS)):
        return "QEMU quit" if force else "QEMU quit: the guest did not power down in time"
    send_signal(record.directory, signal.SIGKILL)
    await wait_for_end(pid, Deadline(_QUIT_SECONDS))
    return "QEMU was killed: its monitor did not answer"


async def _ask(record: Record, *commands: str) -> bool:
    """Whether the commands reached QEMU; ``quit`` may end the stream before its reply."""
    try:
        async with open_monitor(record.sockets["qmp"], Deadline(_QUIT_SECONDS)) as monitor:
            for command in commands:
                with suppress(QmpError):  # a guest that cannot go on
                    await monitor.execute(command)
    except UnresponsiveError as exc:
        return "closed during" in exc.message
    return True


def _log(record: Record) -> str:
    return f"{record.directory}/qemu.log"
