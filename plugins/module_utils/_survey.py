# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as they are: declared, applied and observed, and where these differ."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import LockedError, MachineError, MaqetError
from ._host import recorder
from ._host.deadline import Deadline
from ._host.glance import Choice, choose, lab_of
from ._host.history import troubles
from ._host.liveness import command_line_of, living_pid, process_facts
from ._host.observe import observe
from ._outcome import Outcome, machine_facts
from ._plan.diff import Change, compare, readable, spell
from ._plan.live import to_apply
from ._plan.record import Record
from ._plan.snapshot import shown
from ._plan.wish import Observed
from ._spec.declaration import OPTIONS
from ._spec.disk_file import disk_files
from ._spec.moment import Cursor, parse_moment

_LOCK_SECONDS = 0.5
_EVENTS = 10
# States that a guest brings itself into.
_GUESTS_OWN = ("suspended", "guest-panicked", "shutdown", "watchdog")


class Question(NamedTuple):
    """
    :param events: how many of the last events of each; None: 10, or all from ``since`` on.
    :param since: the guest's last start, a time, or a cursor: only events from there on.
    :param metrics: also what each has used.
    :param timeout: seconds that one machine's monitor may take; machines do not wait for one another.
    """

    choice: Choice = Choice()
    events: int | None = 0
    timeout: float = 5
    since: str = ""
    metrics: bool = False


def survey(question: Question, *, engine: Engine | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """What is known of each machine, by name; and warnings."""
    engine = engine or Engine(parallel=64)
    if question.since:
        parse_moment(question.since, "events_since")
    records = choose(engine.host.store, question.choice)

    async def look(outcome: Outcome) -> None:
        outcome.vm = await _look(engine, records[outcome.name], question)

    outcomes = asyncio.run(engine.each(list(records), look))
    machines = [outcome.vm or {"name": outcome.name, "error": str(outcome.error)} for outcome in outcomes]
    return machines, engine.host.store.warnings


async def _look(engine: Engine, record: Record, question: Question) -> dict[str, Any]:
    seen, busy, metrics = await _observe(engine, record, question)
    running = record.applied if seen.alive else None
    lack = to_apply(record, seen) if running and seen.spec else None
    return {
        **machine_facts(record, seen),
        "lab": lab_of(record),
        "busy": busy,
        "declared": spell(OPTIONS, record.declared),
        "applied": spell(OPTIONS, running) if running else None,
        "observed": _observed(seen),
        "disks": _disks(engine, record),
        "drift": _drift(record, seen),
        "pending_restart": list(lack.pending) if lack else [],
        "pending_reasons": list(lack.reasons) if lack else [],
        "snapshots": shown(record),
        "service": await _service(engine, record),
        "process": _process(seen),
        "argv": record.argv,
        **_recorded(record, seen, question),
        **({"metrics": metrics} if question.metrics else {}),
    }


def _recorded(record: Record, seen: Observed, question: Question) -> dict[str, Any]:
    """What the recorder has: events as they go out everywhere, and what went wrong."""
    if question.since:
        lines = _since(record, parse_moment(question.since, "events_since"))
        lines = lines[-question.events :] if question.events else lines
    else:
        lines = recorder.last_events(record.directory, _EVENTS if question.events is None else question.events)
    whose = {"vm": record.name, "lab": lab_of(record), "labels": record.declared.get("labels", {})}
    return {
        "events": [{**line.item, **whose, "cursor": str(line.cursor)} for line in lines],
        "cursor": str(recorder.position(record.directory)),
        "troubles": troubles(record.directory, alive=seen.alive),
    }


def _since(record: Record, moment: str | float | Cursor) -> list[recorder.Line]:
    if moment == "now":
        return []
    begin = moment if isinstance(moment, Cursor) else recorder.BEGINNING if isinstance(moment, float) else recorder.last_boot(record.directory).events
    lines, _end = recorder.read(record.directory, begin)
    return [line for line in lines if "event" in line.item and (not isinstance(moment, float) or recorder.seconds(line.item) >= moment)]


async def _observe(engine: Engine, record: Record, question: Question) -> tuple[Observed, str | None, dict[str, Any] | None]:
    """A machine that a task works on is not asked: what can be seen from outside is said, and who works on it."""
    try:
        async with engine.hold(record.name, Deadline(_LOCK_SECONDS)):
            deadline = Deadline(question.timeout)
            seen = await observe(engine.host, record, deadline)
            return seen, None, await _measure(engine, record, seen, deadline) if question.metrics else None
    except LockedError as exc:
        pid = living_pid(record.directory)
        return Observed("busy" if pid else "stopped", pid), str(exc.data["holder"]), None


async def _measure(engine: Engine, record: Record, seen: Observed, deadline: Deadline) -> dict[str, Any] | None:
    if seen.pid is None or seen.status == "unresponsive":
        return None
    from ._host.metrics import measure

    try:
        return await measure(engine.host, record, seen.pid, deadline)
    except MachineError:
        return None


def _observed(seen: Observed) -> dict[str, Any]:
    return {"status": seen.status, "pid": seen.pid, "missing_disks": list(seen.missing), "why": seen.why, "spec": seen.spec and spell(OPTIONS, seen.spec)}


def _disks(engine: Engine, record: Record) -> list[dict[str, Any]]:
    """The disks' files, and what each of our overlays lies on."""
    own = disk_files(record.declared, record.site())
    return [{"name": item.disk, "file": item.file, "format": item.format, "size": item.size, "base": _base(engine, record, item.disk)} for item in own]


def _base(engine: Engine, record: Record, disk: str) -> dict[str, Any] | None:
    base = record.bases.get(disk)
    if not base:
        return None
    now = engine.host.images.known(base["image"]) if base["content"] else None
    newer = bool(now and now.content != base["content"])
    return {"image": base["image"], "file": base["file"], "content": base["content"] or None, "newer": newer}


def _drift(record: Record, seen: Observed) -> list[dict[str, Any]]:
    """What differs from what was applied, without anybody having declared it; by whom, as far as it can be told."""
    drift: list[dict[str, Any]] = [_entry(f"disks[{disk}]", "present", "its file is gone") for disk in seen.missing]
    status = "paused" if seen.status == "prelaunch" else seen.status
    if record.power and status not in (record.power, "busy", "unresponsive"):
        drift.append(_entry("state", record.power, status, by_guest=_ended_by_guest(record) if not seen.alive else status in _GUESTS_OWN))
    if seen.strange:
        drift.append(_entry("argv", record.argv, command_line_of(seen.pid or 0)))
    for change in compare(OPTIONS, record.applied or {}, seen.spec) if seen.spec and record.applied else ():
        before, after = readable(change)
        drift.append(_entry(change.path, before, after, by_guest=_is_ejected(change, seen)))
    return drift


def _entry(path: str, applied: Any, observed: Any, *, by_guest: bool = False) -> dict[str, Any]:
    return {"path": path, "applied": applied, "observed": observed, "by": "guest" if by_guest else "host"}


def _ended_by_guest(record: Record) -> bool:
    """Whether QEMU ended because its guest powered off; one that was killed says nothing."""
    ends = [event["data"] for event in recorder.events_since_start(record.directory) if event["event"] == "SHUTDOWN"]
    return bool(ends and ends[-1].get("guest"))


def _is_ejected(change: Change, seen: Observed) -> bool:
    """A guest opens the tray and leaves the medium in it; who takes it out is of the host."""
    if change.where[0] != "disks" or change.where[-1] != "path":
        return False
    block = seen.facts.blocks.get(f"disk-{change.where[1]}", {})
    return bool(block.get("tray_open") and block.get("inserted"))


async def _service(engine: Engine, record: Record) -> dict[str, Any]:
    try:
        return await engine.host.supervisor(record).details(record.unit)
    except MaqetError as exc:
        return {"state": "unknown", "why": str(exc)}


def _process(seen: Observed) -> dict[str, Any]:
    """The hardening that is in force, read back from the kernel."""
    if seen.pid is None:
        return {}
    facts = process_facts(seen.pid)
    return {
        "no_new_privileges": facts.get("NoNewPrivs") == "1",
        "seccomp": facts.get("Seccomp") == "2",
        "umask": facts.get("Umask"),
        "memory_rss": int(facts.get("VmRSS", "0 kB").split()[0]) * 1024,
    }
