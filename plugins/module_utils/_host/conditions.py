# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until a machine meets its conditions. ``look.py`` and its neighbours look at each kind.

A machine is ready by what came since its guest's last start. A task that waits says from where on it counts, and may wait for the
machine's end. Nothing is held while we wait: a look at the monitor takes the machine's lock and gives it back, a look at the agent's
socket ends before the next one's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from .._errors import MachineError, MaqetError
from .._plan.record import Record
from .._spec.condition import Condition, check_possible, conditions
from . import look_inside, recorder
from .agent import Channel
from .deadline import Deadline
from .host import Host
from .liveness import age_of, living_pid, why_halted
from .look import ESCAPES, UNSEEN, Look, Since, event, job, screen, serial, status
from .look_port import port
from .paths import last_words, size_of, write_private
from .watch import await_pid, watch

# One look, however the guest behaves; one at passt lasts longer, and so does reading a screen.
_LOOK_SECONDS = 3.0
_LONGER_SECONDS = {"port": 12.0, "screen": 12.0}
# The last one too has time to see something.
_LAST_LOOK_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_LINES = 15
# What can be seen of a machine that does not run; of what else a guest that stands still does not keep us.
_AT_REST = ("status", "event", "serial")
_WITHOUT_GUEST = ("status", "event", "job")
_DEEDS = ("command", "cloud_init")

KINDS: dict[str, Callable[[Look, Any, Deadline], Awaitable[str]]] = {
    "status": status,
    "agent": look_inside.agent,
    "port": port,
    "serial": serial,
    "screen": screen,
    "event": event,
    "cloud_init": look_inside.cloud_init,
    "command": look_inside.command,
    "address": look_inside.address,
    "job": job,
}
_LOOKS = [kind for kind in KINDS if kind not in _DEEDS]


class Goal(NamedTuple):
    """
    :param match: whether ``all`` of the conditions count, or ``any``.
    :param since: where events and the console count from; None: the last start of the guest that runs, whose end then ends the waiting.
    """

    items: tuple[Condition, ...]
    match: str = "all"
    since: Since | None = None

    def met(self, looks: Iterable[Look]) -> bool:
        return (all if self.match == "all" else any)(look.met for look in looks)

    @property
    def may_pause(self) -> bool:
        if self.since:
            return any(item.kind in _WITHOUT_GUEST for item in self.items)
        return any(item.kind == "status" and item.value != "running" for item in self.items)


class _LateError(Exception):
    """A condition was not met in time."""


async def await_ready(host: Host, record: Record, wanted: Sequence[dict[str, Any]], deadline: Deadline) -> None:
    """Wait until the machine meets all conditions at once; that it did is remembered while its QEMU runs.

    :raises SpecError: it can never meet one.
    :raises MachineError: it stopped, or time is up: which were not met, and what was seen last.
    """
    goal = Goal(conditions(wanted))
    check_possible(goal.items, record.applied or record.declared, "ready")
    while True:
        pid = await await_pid(host, record, deadline)
        if await _meet(host, record, goal, pid, deadline):
            break
    with suppress(MaqetError):  # it may have been stopped this moment
        write_private(_marker(record), json.dumps({"pid": pid, "conditions": _digest(wanted), "seconds": age_of(pid)}), durable=False)


async def await_met(host: Host, name: str, goal: Goal, deadline: Deadline) -> list[Look]:
    """Wait until the conditions are met, through restarts, and to the machine's end where that may be among them.

    :raises MachineError: as :func:`await_ready`.
    """
    while True:
        record = host.store.load([name]).get(name)
        if record is None:
            raise MachineError("the machine was removed meanwhile")
        try:
            pid = await await_pid(host, record, deadline)
        except MachineError as ended:
            looks = await look_once(host, record, goal, None)
            if goal.met(looks):
                return looks
            if not any(look.condition.kind == "status" for look in looks if not look.met):
                ended.data["conditions"] = seen_of(look for look in looks if not look.met)
                raise
            if deadline.over:
                raise _late(looks, goal, deadline) from ended
            await asyncio.sleep(min(_LONGEST_PAUSE, deadline.left))
        else:
            met = await _meet(host, record, goal, pid, deadline)
            if met:
                return met


def was_ready(record: Record, pid: int, wanted: Sequence[dict[str, Any]]) -> float | None:
    """Seconds from the start of this QEMU until it was seen to meet these conditions; None when it never was."""
    try:
        with open(_marker(record), encoding="ascii") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return None
    return float(known["seconds"]) if (known["pid"], known["conditions"]) == (pid, _digest(wanted)) else None


def _marker(record: Record) -> str:
    return f"{record.run_dir}/ready"


def _digest(wanted: Sequence[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(list(wanted), sort_keys=True).encode()).hexdigest()


def since_start(record: Record) -> Since:
    boot = recorder.last_boot(record.directory)
    return Since(boot.events, boot.serial)


def since_now(record: Record) -> Since:
    return Since(recorder.position(record.directory), size_of(recorder.serial_log(record.directory)))


def _looks(host: Host, record: Record, goal: Goal, pid: int | None) -> list[Look]:
    spec, boot = record.applied_to(pid) or record.declared, recorder.last_boot(record.directory)
    channel, since = Channel(record.directory, boot), Since(boot.events, boot.serial)
    if goal.since:
        # Events are counted through restarts; a console begins anew with its guest.
        since = goal.since._replace(serial=max(goal.since.serial, boot.serial))
    return [Look(host, record, pid, spec, channel, item, since) for item in goal.items]


async def look_once(host: Host, record: Record, goal: Goal, pid: int | None) -> list[Look]:
    """At what can be seen now, without waiting, and without running anything in the guest."""
    looks = _looks(host, record, goal, pid)
    for look in looks:
        if look.condition.kind in (_AT_REST if pid is None else _LOOKS):
            with suppress(MachineError):
                await _look(look, Deadline(_seconds(look)))
        elif pid is None:
            look.seen = "the machine does not run"
    return looks


def _seconds(look: Look) -> float:
    return _LONGER_SECONDS.get(look.condition.kind, _LOOK_SECONDS)


async def _look(look: Look, deadline: Deadline) -> None:
    try:
        look.seen = await KINDS[look.condition.kind](look, look.condition.value, deadline)
    except MachineError as exc:
        look.seen = exc.message
        raise
    look.met = not look.seen


async def _meet(host: Host, record: Record, goal: Goal, pid: int, deadline: Deadline) -> list[Look]:
    """The looks of which enough were met; none when this QEMU ended, or another with a guest that begins anew took its place."""
    looks, boot = _looks(host, record, goal, pid), recorder.last_boot(record.directory)
    guard = asyncio.ensure_future(watch(host, record, pid, boot, deadline, may_pause=goal.may_pause))
    tasks = [asyncio.ensure_future(_await(look, deadline)) for look in looks]
    try:
        pending: set[asyncio.Future[None]] = {guard, *tasks}
        while not goal.met(looks):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if goal.met(looks):
                break
            if guard in done:
                return await _after(guard, looks, goal)
            for task in done if goal.match == "all" or not pending - {guard} else ():
                task.result()
        return looks
    except _LateError:
        raise _late(looks, goal, deadline) from None
    finally:
        for task in (guard, *tasks):
            task.cancel()
        await asyncio.gather(guard, *tasks, return_exceptions=True)


async def _after(guard: asyncio.Future[None], looks: list[Look], goal: Goal) -> list[Look]:
    """What is left to see when the guard has nothing to watch any more.

    :raises MachineError: the guest stands still; of a machine that must be ready also that it ended.
    """
    error = guard.exception()
    if error is None:
        return []
    if not goal.since:
        raise error
    if living_pid(looks[0].record.directory) != looks[0].pid:
        return []
    for look in looks:
        if look.condition.kind in (*_AT_REST, "screen") and not look.met:
            await _look(look, Deadline(_seconds(look)))
    if goal.met(looks):
        return looks
    raise error


async def _await(look: Look, deadline: Deadline) -> None:
    own = deadline.within(look.condition.timeout) if look.condition.timeout else deadline
    pause = _FIRST_PAUSE
    while True:
        short, before = own.left < _LOOK_SECONDS, look.seen
        await _look(look, Deadline(max(_LAST_LOOK_SECONDS, min(_seconds(look), own.left))))
        if look.met:
            return
        # A guest that was given no time to answer has not gone silent.
        if look.seen == look_inside.SILENT and short and before != UNSEEN:
            look.seen = before
        if own.over:
            raise _LateError
        await asyncio.sleep(min(pause, own.left))
        pause = min(pause * 1.3, _LONGEST_PAUSE)


def _late(looks: list[Look], goal: Goal, deadline: Deadline) -> MachineError:
    unmet = [look for look in looks if not look.met]
    seconds = min([look.condition.timeout or deadline.seconds for look in unmet if look.condition.timeout] or [deadline.seconds])
    missed = "; ".join(f"{look.condition}: {look.seen}" for look in unmet)
    what = "not ready" if not goal.since else "not met" if goal.match == "all" else "none of these was met"
    halted = why_halted(unmet[0].pid) if unmet[0].pid else ""
    return MachineError(
        f"{what} within {seconds:g} s{f', and {halted}' if halted else ''}: {missed}",
        hint=_last_words(unmet[0]),
        conditions=seen_of(unmet),
        serial=_words(unmet[0]),
    )


def seen_of(looks: Iterable[Look]) -> list[dict[str, Any]]:
    return [{"condition": str(look.condition), "seen": look.seen} for look in looks]


def _words(look: Look) -> list[str]:
    return [ESCAPES.sub("", line) for line in last_words(recorder.serial_log(look.record.directory), look.since.serial, _LINES)]


def _last_words(look: Look) -> str:
    lines = _words(look)
    if not lines:
        return "The guest has said nothing on its serial console"
    return "\n".join([f"Its serial console ({recorder.serial_log(look.record.directory)}) ends with:", *lines])
