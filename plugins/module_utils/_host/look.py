# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look at a machine from outside: what QEMU says, what its recorder and the guest's console have.

A look says what keeps its condition from being met, and nothing when it is met.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .._errors import LockedError, MachineError, UnresponsiveError
from .._plan.record import Record
from .._spec.condition import Condition
from .._spec.moment import Cursor
from . import bounded, recorder
from .agent import Agent, Channel, open_agent
from .deadline import Deadline
from .host import Host
from .watch import query

_TAIL, _WORDS = 1 << 20, 120
UNSEEN = "not looked at yet"
# What a terminal is told, not its reader.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])|[\x00-\x08\x0b-\x1f\x7f]")


class Since(NamedTuple):
    """From where on the recorder and the serial log count. :param time: and from when on an event does, in seconds since 1970."""

    events: Cursor
    serial: int = 0
    time: float = 0.0


@dataclass(eq=False)
class Look:
    """One condition of one machine.

    :param pid: of its QEMU; None when it does not run.
    :param spec: the normal form that is in force.
    :param seen: what the last look saw; met: that it was met; found: what met it; kept: what a look leaves for the next one.
    """

    host: Host
    record: Record
    pid: int | None
    spec: dict[str, Any]
    channel: Channel
    condition: Condition
    since: Since
    seen: str = UNSEEN
    met: bool = False
    found: Any = None
    kept: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def agent(self, deadline: Deadline) -> AsyncIterator[Agent]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.channel.turn)
            self.channel.check()
            yield await stack.enter_async_context(open_agent(self.record.sockets_of(self.spec)["agent"], deadline))

    def console(self) -> str:
        """What the guest said on its serial console."""
        with suppress(FileNotFoundError), open(recorder.serial_log(self.record.directory), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = self.since.serial if self.since.serial <= size else 0  # somebody may have emptied it
            if size != self.kept.get("size"):
                file.seek(max(begin, size - _TAIL))
                self.kept.update(size=size, text=file.read().decode(errors="replace").replace("\r\n", "\n"))
                if bounded.is_large(os.fstat(file.fileno())):
                    bounded.trim(file.name)
        return str(self.kept.get("text", ""))

    def events(self) -> list[dict[str, Any]]:
        """Those that came since the last look, each with the cursor behind it."""
        lines, self.kept["position"] = recorder.read(self.record.directory, self.kept.get("position", self.since.events))
        events = [{**line.item, "cursor": str(line.cursor)} for line in lines if "event" in line.item]
        return [event for event in events if recorder.seconds(event) >= self.since.time]


async def status(look: Look, value: str, deadline: Deadline) -> str:
    if look.pid is None:
        stored = look.host.store.load([look.record.name]).get(look.record.name)
        now = "suspended" if stored and stored.suspended else "stopped"
    elif value == "stopped":
        return "it runs"
    else:
        try:
            now = (await query(look.host, look.record, deadline, "query-status"))["status"]
        except (LockedError, UnresponsiveError) as exc:
            return exc.message
    look.found = "paused" if now == "prelaunch" else now
    return "" if value == look.found else f"it is {now}"


async def serial(look: Look, value: str, deadline: Deadline) -> str:
    text = look.console()
    match = re.search(value, text, re.MULTILINE)
    look.found = match and match.group()
    return "" if match else f"not among the {len(text.splitlines())} lines of its serial console"


async def screen(look: Look, value: str, deadline: Deadline) -> str:
    """
    :raises HostError: nothing here reads screens.
    """
    from .screen import UnreadError, text_on

    try:
        text = await text_on(look.host, look.record, deadline, look.kept.setdefault("pictures", {}))
    except (LockedError, UnresponsiveError) as exc:
        return exc.message
    except UnreadError:
        return "it could not be read in time" if look.seen == UNSEEN else look.seen
    match = re.search(value, text, re.MULTILINE)
    look.found = match and match.group()
    words = " ".join(text.split())
    return "" if match else f"the screen says {words[:_WORDS]!r}" if words else "no text is on the screen"


async def event(look: Look, value: dict[str, Any], deadline: Deadline) -> str:
    wanted = {"event": value["name"], "match": value.get("match")}
    for item in look.events():
        look.kept.setdefault("names", {})[item["event"]] = None
        if recorder.matches(wanted, item):
            look.kept["count"] = look.kept.get("count", 0) + 1
            if look.kept["count"] == value.get("count", 1):
                look.found = item
    if look.found:
        return ""
    came = f"{look.kept.get('count', 0)} of {value['count']} came; " if value.get("count") else ""
    return f"{came}events seen: {', '.join(look.kept.get('names', ())) or 'none'}"


async def job(look: Look, value: str, deadline: Deadline) -> str:
    """
    :raises MachineError: it failed, or was cancelled.
    """
    _follow_job(look, value)
    try:
        jobs = {item["id"]: item for item in await query(look.host, look.record, deadline, "query-jobs")}
    except (LockedError, UnresponsiveError) as exc:
        return exc.message
    _follow_job(look, value)
    said, words = look.kept.get("said", []), look.kept.get("words", "")
    here = jobs.get(value)
    if here and here["status"] == "concluded":
        words = here.get("error") or words
    elif here or not {"concluded", "null"} & set(said):
        others = f"; there are {', '.join(sorted(jobs))}" if jobs else ""
        return _progress(here) if here else f"there is no such job{others}"
    if words or "aborting" in said:
        raise MachineError(f"the job {value} failed: {words or 'QEMU does not say why'}", job=value)
    look.found = "concluded"
    return ""


def _progress(here: dict[str, Any]) -> str:
    share = f" ({100 * here['current-progress'] // here['total-progress']} %)" if here.get("total-progress") else ""
    return f"its status is {here['status']}{share}"


def _follow_job(look: Look, value: str) -> None:
    """What the recorder has of it: most jobs are gone when they end."""
    for item in look.events():
        data = item.get("data", {})
        if item["event"] == "JOB_STATUS_CHANGE" and data["id"] == value:
            if data["status"] == "created":
                look.kept.update(said=[], words="")
            look.kept.setdefault("said", []).append(data["status"])
        elif item["event"] == "BLOCK_JOB_COMPLETED" and data["device"] == value:
            look.kept["words"] = data.get("error", "")
        elif item["event"] == "BLOCK_JOB_CANCELLED" and data["device"] == value:
            look.kept["words"] = "it was cancelled"
