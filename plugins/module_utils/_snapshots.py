# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of one machine, or of all machines of a lab at one point: all of them or none."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import HostError, MachineError, MaqetError, RefusedError, SpecError
from ._host import guard, launch, lock, snapshot
from ._host.actions import ACTIONS, Work
from ._host.deadline import Deadline
from ._host.observe import observe
from ._host.preflight import preflight
from ._outcome import Outcome
from ._plan.plan import make_plan
from ._plan.record import Record
from ._plan.snapshot import SnapshotPlan, SnapshotTask, begin, check_task, plan_snapshot, shown
from ._plan.steps import GrowDisk, Tell
from ._plan.wish import Observed, Wish

_CONTINUE = Tell("continue", ({"execute": "cont"},))


class Result(NamedTuple):
    """``snapshots``: by machine, those that are there afterwards; ``actions``: in order, each with its ``machine``."""

    changed: bool
    snapshots: dict[str, list[dict[str, Any]]]
    actions: list[dict[str, Any]]
    before: dict[str, Any]
    after: dict[str, Any]
    warnings: list[str]
    pending_restart: tuple[str, ...] = ()


@dataclass
class Member:
    """One machine of the task, its lock held.

    :param stands: its QEMU took its memory back and stands still; agent: the socket of the agent that its guest runs.
    """

    record: Record
    work: Work
    held: lock.Held
    seen: Observed = field(default_factory=lambda: Observed("absent"))
    plan: SnapshotPlan = field(default_factory=SnapshotPlan)
    entry: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    stands: bool = False
    agent: str = ""

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def runs(self) -> bool:
        return self.seen.status == "running"


def snapshots(task: SnapshotTask, *, name: str = "", lab: str = "", check: bool = False, engine: Engine | None = None) -> Result:
    """Bring the machine, or each machine with that label ``lab``, to what is wished of the snapshot.

    :raises MaqetError: of a lab, the first error with the others' beside it; where something was refused nothing has been done.
    """
    check_task(task)
    engine = engine or Engine()
    engine.host.keeps = not check
    return asyncio.run(_run(engine, task, (name, lab), check=check))


async def _run(engine: Engine, task: SnapshotTask, whose: tuple[str, str], *, check: bool) -> Result:
    try:
        async with AsyncExitStack() as stack:
            members = await _gather(engine, task, whose, stack)
            _name, lab = whose
            if not check:
                await _each(members, lambda member: _tidy(engine, member, task))
            await _each(members, lambda member: _look(engine, member, task))
            if task.state == "present" and lab:
                await _agree(members, task)
            told = [item for member in members for item in _describe(member, task)]
            busy = [member for member in members if member.plan.changes]
            if busy and not check:
                await _do(engine, busy, task)
            return _result(members, task, told, check=check)
    finally:
        await engine.host.close()


async def _gather(engine: Engine, task: SnapshotTask, whose: tuple[str, str], stack: AsyncExitStack) -> list[Member]:
    """The machines, each under its lock: taken in order, so that two tasks never wait for one another."""
    name, lab = whose
    records = engine.host.store.load([name] if name else None)
    names = sorted(key for key, record in records.items() if name or record.declared.get("labels", {}).get("lab") == lab)
    if not names and task.state != "absent":
        what, hint = (f"there is no machine {name!r}", "maqet_vm declares one") if name else (f"no machine has the label lab: {lab}", "maqet_vm sets labels")
        raise SpecError("name" if name else "lab", what, hint=f"{hint}, maqet_vm_info lists them")
    deadline = Deadline(task.timeout)
    held = {key: await stack.enter_async_context(lock.hold(engine.host.paths, key, deadline)) for key in names}
    records = engine.host.store.load(names)
    return [
        Member(record, Work(engine.host, Wish(key, timeout=task.timeout), record, engine.witness), held[key], before=_facts(record))
        for key, record in records.items()
    ]


async def _each(members: list[Member], work: Callable[[Member], Awaitable[Any]]) -> None:
    """The work on every machine at once; when all have ended, the errors as one."""
    errors = {}
    for member, done in zip(members, await asyncio.gather(*(work(member) for member in members), return_exceptions=True)):
        if isinstance(done, MaqetError):
            errors[member.name] = done
        elif isinstance(done, OSError):
            errors[member.name] = HostError(f"{done.filename or member.name}: {done.strerror or done}", hint="Check its owner, its mode and the free space")
        elif isinstance(done, BaseException):
            raise done
    if not errors:
        return
    first = next(iter(errors.values()))
    if len(members) > 1:
        first.message = "; ".join(f"{name}: {error.message}" for name, error in errors.items())
    raise first


async def _tidy(engine: Engine, member: Member, task: SnapshotTask) -> None:
    """A guest that a task before held still goes on first."""
    if member.record.frozen:
        await snapshot.release(member.work)


async def _look(engine: Engine, member: Member, task: SnapshotTask) -> None:
    member.seen = await observe(engine.host, member.record, Deadline(task.timeout))
    member.before["state"] = "paused" if member.seen.status == "prelaunch" else member.seen.status
    member.plan = plan_snapshot(task, member.record, member.seen)
    if member.plan.take:
        member.entry = begin(task, member.record, member.seen)
        await snapshot.check_take(member.record, member.seen, member.entry, task)
    if member.plan.drop and task.label == member.record.reverting:
        await snapshot.check_lost(engine.host, member.record, task.label)
    if member.plan.revert:
        await snapshot.check_revert(engine.host, member.record, task.label)


async def _agree(members: list[Member], task: SnapshotTask) -> None:
    """Machines of a lab have a snapshot of one point, or none: where one was cut off in the middle, all take it again."""
    lacking = [member for member in members if member.plan.take]
    having = [member for member in members if task.label in member.record.snapshots and member not in lacking]
    if not lacking or not having:
        return
    points = {member.record.snapshots.get(task.label, {}).get("point") for member in members}
    if len(points) > 1:
        names = ", ".join(member.name for member in lacking)
        hint = "Give another label, or state: absent first"
        raise RefusedError(f"snapshot {task.label!r} is there, and {names} cannot be at that point any more", hint=hint)
    for member in having:
        member.plan = member.plan._replace(drop=(task.label,), take=True)
        member.entry = begin(task, member.record, member.seen)
        await snapshot.check_take(member.record, member.seen, member.entry, task)


async def _do(engine: Engine, members: list[Member], task: SnapshotTask) -> None:
    for label in {label for member in members for label in member.plan.drop}:
        await _each([member for member in members if label in member.plan.drop], lambda member: _drop(member, label))  # noqa: B023
    taking = [member for member in members if member.plan.take]
    point = uuid.uuid4().hex
    for member in taking:
        member.entry["point"] = point
    if taking:
        await _take(taking, task)
    reverting = [member for member in members if member.plan.revert]
    if reverting:
        await _revert(engine, reverting, task)
    await _each(members, _expire)


async def _drop(member: Member, label: str) -> None:
    member.work.witness("before delete_snapshot")
    await snapshot.drop(member.work, label)
    member.work.witness("after delete_snapshot")


async def _expire(member: Member) -> None:
    for label in member.plan.expired:
        await _drop(member, label)


async def _take(members: list[Member], task: SnapshotTask) -> None:
    """Freeze all, stop all, take all, let all go on: each begins when the one before has ended everywhere."""
    running = [member for member in members if member.runs]
    try:
        await _each(members, lambda member: _begin(member, task))
        await _hold(members, running, task)
    except BaseException:
        # The first error is the one to tell. What cannot be removed now, such as on a full disk, the next task finds.
        with suppress(MaqetError):
            await _each(members, lambda member: snapshot.drop(member.work, task.label))
        raise
    await _each(members, _complete)


async def _hold(members: list[Member], running: list[Member], task: SnapshotTask) -> None:
    if not task.ram and task.quiesce != "no":
        await _each(running, lambda member: _find_agent(member, task))
    guardian = _guard(running, task)
    try:
        await _each([member for member in running if member.agent], lambda member: _freeze(member, task))
        members[0].work.witness("frozen")
        await _each(running, lambda member: snapshot.pause(member.work))
        members[0].work.witness("stopped")
        await _each(members, lambda member: snapshot.take(member.work, task.label, member.seen))
    finally:
        try:
            await _each(running, lambda member: snapshot.go_on(member.work))
        finally:
            members[0].work.witness("continued")
            await _each(running, _thaw)
            _dismiss(guardian)


async def _find_agent(member: Member, task: SnapshotTask) -> None:
    try:
        member.agent = await snapshot.find_agent(member.record)
    except MaqetError as exc:
        _go_unfrozen(member, task, exc)


async def _freeze(member: Member, task: SnapshotTask) -> None:
    try:
        await snapshot.freeze(member.agent)
        member.entry["quiesced"] = True
        member.work.notes.append("the guest's file systems were frozen")
    except MaqetError as exc:
        _go_unfrozen(member, task, exc)


def _go_unfrozen(member: Member, task: SnapshotTask, why: MaqetError) -> None:
    if task.quiesce == "yes":
        raise MachineError(f"the guest's file systems cannot be frozen: {why.message}", hint="quiesce: auto goes on without") from why
    member.work.notes.append(f"the guest's file systems were not frozen: {why.message}")


async def _thaw(member: Member) -> None:
    if member.agent:
        await snapshot.thaw(member.agent)
    member.record.frozen = False


async def _begin(member: Member, task: SnapshotTask) -> None:
    member.record.snapshots[task.label] = member.entry
    member.record.frozen = member.runs
    await member.work.save()


async def _complete(member: Member) -> None:
    member.entry["complete"] = True
    await member.work.save()


def _guard(members: list[Member], task: SnapshotTask) -> subprocess.Popen[bytes] | None:
    """A process that lets the guests go on should we be killed; it shares our locks."""
    if not members:
        return None
    held = [{"qmp": member.record.sockets["qmp"], "agent": member.agent} for member in members]
    argv = [sys.executable, "-I", "-S", "-c", inspect.getsource(guard), str(task.timeout)]
    locks = [member.held.descriptor for member in members]
    nowhere = subprocess.DEVNULL
    guardian = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, pass_fds=locks, start_new_session=True, cwd="/")
    if guardian.stdin:
        guardian.stdin.write(json.dumps(held).encode() + b"\n")
        guardian.stdin.flush()
    return guardian


def _dismiss(guardian: subprocess.Popen[bytes] | None) -> None:
    if guardian:
        with suppress(BrokenPipeError):
            guardian.communicate(b"done\n")


async def _revert(engine: Engine, members: list[Member], task: SnapshotTask) -> None:
    """All are put back and stand still; then all go on together."""
    await _each(members, lambda member: _mark(member, task.label))
    await _each(members, lambda member: _put_back(engine, member, task.label))
    await _each(members, lambda member: _rise(engine, member))
    await _each(members, lambda member: _go_on(member, task.label))


async def _mark(member: Member, label: str) -> None:
    """From here on nobody starts the machine before it is put back; what it is to be then is known to who finishes this."""
    member.record.reverting = label
    member.record.snapshots[label] = {**member.record.snapshots[label], "back": member.plan.status}
    await member.work.save()


async def _put_back(engine: Engine, member: Member, label: str) -> None:
    if member.plan.inside:
        try:
            await snapshot.load(member.work, label)
            member.stands = True
            return
        except MaqetError as exc:
            member.work.notes.append(f"started anew, since the running QEMU did not take it: {exc.message}")
    if member.seen.alive:
        await launch.end(member.record, engine.host.supervisor(member.record), force=True, shutdown=member.work.deadline)
        member.work.witness("ended")
    await snapshot.revert(member.work, label)


async def _rise(engine: Engine, member: Member) -> None:
    """A machine that was ended stands still again, as it was."""
    if member.stands or member.plan.status == "stopped":
        return
    record = member.record
    seen = await observe(engine.host, record, member.work.deadline)
    wish = member.work.wish._replace(state="paused")
    change = engine.change(wish, Outcome(record.name))
    plan = make_plan(wish, record, record.copy(), seen._replace(bases=await change.bases(record)))
    # As large as they were: growing them again is the next declaration's work.
    plan = plan._replace(steps=tuple(step for step in plan.steps if not isinstance(step, GrowDisk)))
    await preflight(engine.host, plan, record, seen)
    change.outcome.actions = [{} for _step in plan.steps]
    await change.apply(plan, record, seen)


async def _go_on(member: Member, label: str) -> None:
    del member.record.snapshots[label]["back"]
    member.record.power = member.plan.status
    if member.plan.status == "running":
        await ACTIONS[Tell](member.work, _CONTINUE)
    else:
        await member.work.save()


def _describe(member: Member, task: SnapshotTask) -> list[dict[str, Any]]:
    """What is done to the machine, in order."""
    plan, record = member.plan, member.record
    actions: list[tuple[str, str]] = [("delete_snapshot", f"remove snapshot {label}") for label in plan.drop]
    if plan.take:
        ram = " with the memory" if "origin" in member.entry else ""
        disks = ", ".join(member.entry["disks"]) or "no disk"
        actions.append(("snapshot", f"take snapshot {task.label} of {disks}{ram}"))
    if plan.revert:
        memory = bool(record.snapshots[task.label].get("memory"))
        if plan.inside:
            actions.append(("load", f"put the disks and the memory back to snapshot {task.label}"))
        else:
            actions += [("stop", "stop at once")] if member.seen.alive else []
            actions.append(("revert", f"put the disks back to snapshot {task.label}"))
            actions += [("start", "start")] if plan.status != "stopped" else []
            actions += [("restore", "load the guest's saved memory")] if memory else []
        actions += [("qmp", "continue")] if plan.status == "running" else []
    actions += [("delete_snapshot", f"remove snapshot {label}, the oldest") for label in plan.expired]
    return [{"action": action, "summary": f"{member.name}: {words}", "machine": member.name} for action, words in actions]


def _facts(record: Record) -> dict[str, Any]:
    return {"snapshots": [item["name"] for item in shown(record) if item["complete"]]}


def _result(members: list[Member], task: SnapshotTask, actions: list[dict[str, Any]], *, check: bool) -> Result:
    changed = any(member.plan.changes for member in members)
    for member in members if check else ():
        for label in (*member.plan.drop, *member.plan.expired):
            del member.record.snapshots[label]
        if member.plan.take:
            member.record.snapshots[task.label] = {**member.entry, "complete": True}
    after = {member.name: {**_facts(member.record), "state": member.plan.status or member.seen.status} for member in members}
    for member in members:
        for action in actions:
            if action["machine"] == member.name and action["action"] in ("snapshot", "load") and member.work.notes:
                action["outcome"] = "; ".join(member.work.notes)
    return Result(
        changed,
        {member.name: shown(member.record) for member in members},
        actions,
        {member.name: member.before for member in members},
        after,
        [*(f"{member.name}: {words}" for member in members for words in member.plan.warnings), *_of_many_points(members, task)],
    )


def _of_many_points(members: list[Member], task: SnapshotTask) -> list[str]:
    points = {member.record.snapshots[task.label].get("point") for member in members if member.plan.revert}
    return [f"the machines' snapshots {task.label!r} were not taken together, so they are not of one point in time"] if len(points) > 1 else []
