# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A conversation with one machine's QEMU over its stored socket."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import MachineError, UnresponsiveError
from ._host import recorder
from ._host.deadline import Deadline
from ._host.probe import qmp_schema
from ._host.qmp import open_monitor
from ._host.watch import unresponsive
from ._outcome import machine_facts
from ._plan.record import Record
from ._plan.wish import Observed
from ._spec.moment import Cursor
from ._spec.qmp_schema import QmpSchema, is_read

_PAUSE = 0.02


class Talk(NamedTuple):
    """
    :param commands: ``{execute, arguments}`` each, sent in one session, in order; the first error ends it.
    :param wait_for: ``{event, match, timeout}``: an event that must come after the first command was sent.
    """

    name: str
    commands: list[dict[str, Any]]
    wait_for: dict[str, Any] | None = None
    timeout: float = 30


class Answer(NamedTuple):
    """``results``: one a command that was sent; ``events``: those that came meanwhile."""

    results: list[Any]
    events: list[dict[str, Any]]
    changed: bool
    vm: dict[str, Any]


def talk(wish: Talk, *, check: bool = False, engine: Engine | None = None) -> Answer:
    """Validate all, then send all; in check mode only what changes nothing is sent.

    :raises MaqetError: the machine is unknown, stopped or silent; a command is wrong or refused; no event came.
    """
    engine = engine or Engine()
    return engine.do(wish.name, lambda: _talk(engine, wish, check=check))


async def _talk(engine: Engine, wish: Talk, *, check: bool) -> Answer:
    deadline = Deadline(wish.timeout)
    async with engine.hold_running(wish.name, deadline) as (record, pid):
        schema = QmpSchema(await qmp_schema(engine.host.paths, f"/proc/{pid}/exe", keep=not check))
        for position, command in enumerate(wish.commands):
            schema.check(command, f"commands[{position}]")
        return await _converse(wish, record, pid, deadline, check=check)


async def _converse(wish: Talk, record: Record, pid: int, deadline: Deadline, *, check: bool) -> Answer:
    start = recorder.position(record.directory)
    sent = [command for command in wish.commands if not check or is_read(command)]
    changes = not all(is_read(command) for command in wish.commands)
    results = []
    seen = Observed("stopped")
    try:
        async with open_monitor(record.sockets["qmp"], deadline) as monitor:
            for command in sent:
                results.append(await monitor.execute(command["execute"], command.get("arguments")))
            if not (sent and sent[-1]["execute"] == "quit"):
                seen = Observed((await monitor.execute("query-status"))["status"], pid, qemu_version=monitor.qemu_version)
    except UnresponsiveError as exc:
        # quit may end the stream before its reply, and does what it was asked to.
        if not (len(results) + 1 == len(sent) and sent[-1]["execute"] == "quit" and "closed" in exc.message):
            raise unresponsive(exc, pid) from exc
        results.append({})
    events = await _events(wish, record, start, check=check)
    return Answer(results, events, changes, machine_facts(record, seen))


async def _events(wish: Talk, record: Record, start: Cursor, *, check: bool) -> list[dict[str, Any]]:
    """What the flight recorder has from ``start`` on, until the awaited event is among it."""
    events, position = recorder.read_events(record.directory, start)
    if not wish.wait_for or check:
        return events
    deadline = Deadline(wish.wait_for.get("timeout") or wish.timeout)
    while not any(recorder.matches(wish.wait_for, event) for event in events):
        if deadline.over:
            seen = ", ".join(event["event"] for event in events) or "none"
            raise MachineError(f"no event {wish.wait_for['event']} came within {deadline.seconds:g} s", hint=f"Events seen: {seen}", events=events)
        await asyncio.sleep(_PAUSE)
        more, position = recorder.read_events(record.directory, position)
        events += more
    return events
