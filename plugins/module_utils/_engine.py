# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe, plan, apply, record: for a list of machines at once. One machine is a list of one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ._errors import HostError, MachineError, MaqetError, SpecError, StartError, UnresponsiveError
from ._host import lock
from ._host.deadline import Deadline
from ._host.gate import Gate
from ._host.host import Host
from ._host.liveness import living_pid
from ._host.observe import observe
from ._plan.record import Record
from ._plan.wish import Observed, Wish, is_settled
from ._spec.forward import forwards
from ._spec.name import check_name

if TYPE_CHECKING:
    from ._host.actions import Work
    from ._host.qmp import Monitor
    from ._plan.plan import Plan

T = TypeVar("T")


@dataclass(repr=False, eq=False)
class Outcome:
    """What became of one machine.

    :param actions: what was done (in check mode: would be), in order: ``{action, summary, …}``.
    :param before, after: the machine as a user would write it, for the diff.
    """

    name: str
    changed: bool = False
    actions: list[dict[str, Any]] = field(default_factory=list)
    pending_restart: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    vm: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    error: MaqetError | None = None


class Engine:
    """
    :param parallel: machines worked on at once; starting QEMU is all CPU, waiting for guests is none.
    :param witness: called at each step boundary and write with its name (tests stop the process there).
    :param tell: told what is about to be done to which machine, for people.
    """

    def __init__(
        self,
        host: Host | None = None,
        *,
        parallel: int = 0,
        witness: Callable[[str], None] | None = None,
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        self.host = host or Host()
        self.parallel = parallel or min(32, 4 * (os.cpu_count() or 1))
        self.witness = witness or (lambda moment: None)
        self.tell = tell or (lambda name, what: None)

    def run(self, wishes: list[Wish], *, check: bool = False) -> list[Outcome]:
        """Bring each machine to its wish; an error is its machine's alone."""
        by_name = {wish.name: wish for wish in wishes}
        self.host.keeps = not check
        return asyncio.run(self.each(list(by_name), lambda outcome: self.reach(by_name[outcome.name], outcome, check=check)))

    async def each(self, names: list[str], work: Callable[[Outcome], Awaitable[None]]) -> list[Outcome]:
        """Every machine's work, so many at a time; what one raises ends up in its outcome."""
        gate = self.host.gate = Gate(self.parallel)

        async def one(name: str) -> Outcome:
            async with gate.turn(name):
                return await self.attempt(Outcome(name), work)

        try:
            return list(await asyncio.gather(*(one(name) for name in names)))
        finally:
            await self.host.close()

    def do(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """The work on one machine, and what it returns.

        :raises MaqetError: what it raises.
        """
        results: list[T] = []

        async def one(outcome: Outcome) -> None:
            results.append(await work())

        (outcome,) = asyncio.run(self.each([name], one))
        if outcome.error:
            raise outcome.error
        return results[0]

    @staticmethod
    async def attempt(outcome: Outcome, work: Callable[[Outcome], Awaitable[None]]) -> Outcome:
        """The work done, or its error in the outcome."""
        try:
            await work(outcome)
        except MaqetError as exc:
            outcome.error = exc
        except OSError as exc:
            outcome.error = HostError(f"{exc.filename or outcome.name}: {exc.strerror or exc}", hint="Check its owner, its mode and the free space")
        return outcome

    @asynccontextmanager
    async def hold(self, name: str, deadline: Deadline) -> AsyncIterator[Record | None]:
        """The machine's record under its lock."""
        async with lock.hold(self.host.paths, name, deadline) as held:
            try:
                yield self.host.store.load([name]).get(name)
            finally:
                if not os.path.exists(f"{self.host.paths.machines}/{name}"):
                    held.discard()

    @asynccontextmanager
    async def hold_running(self, name: str, deadline: Deadline) -> AsyncIterator[tuple[Record, int]]:
        """The record of a machine that runs, under its lock, and its QEMU's pid.

        :raises SpecError: there is no such machine. :raises MachineError: it does not run.
        """
        if not self.host.store.load([name]):
            raise SpecError("name", f"there is no machine {name!r}", hint="maqet_vm declares one, maqet_vm_info lists them")
        async with self.hold(name, deadline) as record:
            if record is None:
                raise SpecError("name", f"there is no machine {name!r} any more")
            pid = living_pid(record.directory)
            if pid is None:
                raise MachineError("the machine does not run", hint="maqet_vm with state: started starts it", status="stopped")
            yield record, pid

    @asynccontextmanager
    async def monitor(self, name: str, deadline: Deadline) -> AsyncIterator[tuple[Monitor, Record, int]]:
        """A session with the monitor of a machine that runs, its record and its pid.

        :raises SpecError, MachineError: as :meth:`hold_running`, or it is silent.
        """
        from ._host.qmp import open_monitor
        from ._host.watch import unresponsive

        async with self.hold_running(name, deadline) as (record, pid):
            try:
                async with open_monitor(record.sockets["qmp"], deadline) as monitor:
                    yield monitor, record, pid
            except UnresponsiveError as exc:
                raise unresponsive(exc, pid) from exc

    async def reach(self, wish: Wish, outcome: Outcome, *, check: bool) -> None:
        """Bring one machine to its wish."""
        check_name(wish.name)
        if not self.host.paths.in_use and (check or wish.raw is None):
            # There is no machine at all, nothing to lock, and nobody to keep a lock's directory for.
            await self._reach_held(wish, None, outcome, check=check)
            return
        async with self.hold(wish.name, Deadline(wish.timeout)) as record:
            await self._reach_held(wish, record, outcome, check=check)

    async def _reach_held(self, wish: Wish, old: Record | None, outcome: Outcome, *, check: bool) -> None:
        new = await self._renew(wish, old, check=check)
        seen = await observe(self.host, old, Deadline(wish.timeout))
        if is_settled(wish, old, new, seen):
            outcome.vm, outcome.warnings = machine_facts(old, seen), list(self.host.store.warnings)
            return
        await self._change(wish, old, new, seen, outcome, check=check)

    async def _change(self, wish: Wish, old: Record | None, new: Record | None, seen: Observed, outcome: Outcome, *, check: bool) -> None:
        from ._plan.first_boot import disks_by_policy
        from ._plan.plan import make_plan

        # A second look, where the guest refused something, a resumed machine differs from what was declared meanwhile, or its disks
        # were half put back; more where it all happened.
        for _round in range(4):
            if new and wish.state != "absent":
                new.anew = sorted({*new.anew, *disks_by_policy(wish, new, seen)})
                seen = seen._replace(bases=await self.bases(wish, new))
            plan = make_plan(wish, old, new, seen)
            await self._look_ahead(plan, old, new, seen, outcome)
            record, done = new or old, outcome.actions
            outcome.actions = _planned(plan, new)
            if record and plan.steps and not check:
                told = await self.apply(plan, wish, record, outcome, seen)
                seen = told or await observe(self.host, record, Deadline(wish.timeout))
            outcome.actions = [*done, *outcome.actions]
            outcome.changed = outcome.changed or bool(plan.steps)
            if check or not plan.steps or record is None or not (record.refused or plan.resumes or plan.unfinished):
                break
            old, new = record, record.copy()
        outcome.warnings += [*plan.reasons, *self.host.store.warnings]
        outcome.vm = machine_facts(None if wish.state == "absent" and not check else new, seen)

    async def _look_ahead(self, plan: Plan, old: Record | None, new: Record | None, seen: Observed, outcome: Outcome) -> None:
        if plan.steps and new:
            from ._host.preflight import preflight

            outcome.warnings += await preflight(self.host, plan, new, seen)
        outcome.pending_restart = list(plan.pending)
        if plan.steps:
            _describe(plan, old, new, seen, outcome)

    async def bases(self, wish: Wish, new: Record) -> dict[str, dict[str, Any]]:
        """What each disk that is yet to be made can be made of."""
        from ._plan.disks import unmade

        if new.imported.get("whole") is False or not any(item.image for item in unmade(new)):
            return {}
        from ._host.bases import find_bases

        return await find_bases(self.host, new, Deadline(wish.timeout))

    async def _renew(self, wish: Wish, old: Record | None, *, check: bool) -> Record | None:
        """The record as the task wants it; None when nothing is stored and nothing declared."""
        raw = wish.declaration(old)
        if raw is None or wish.state == "absent":
            return old and old.copy()
        if old is None or raw != old.raw:
            from ._host.prepare import prepare

            new = await prepare(self.host, wish, raw, old, keep=not check)
        else:
            new = old.copy()
        if wish.supervisor != "auto":
            new.supervisor = wish.supervisor
        new.lab = wish.lab or new.lab
        new.anew = sorted({*new.anew, *wish.recreate})
        return new

    async def apply(self, plan: Plan, wish: Wish, record: Record, outcome: Outcome, found: Observed) -> Observed | None:
        """What the last step itself saw, if it looked."""
        from ._host.actions import Work, undo

        work = Work(self.host, wish, record, self.witness, found.spec)
        try:
            await self._take(plan, work, outcome)
        except StartError as exc:
            if found.status == "absent":  # no guest has ever run in it, so nothing can be lost
                await undo(work)
                outcome.actions, outcome.changed, exc.hint = [], False, "Nothing is left of the machine; correct its declaration"
            raise
        return work.seen

    async def _take(self, plan: Plan, work: Work, outcome: Outcome) -> None:
        from ._host.actions import ACTIONS

        planned, outcome.actions = outcome.actions, []
        try:
            for position, (step, action) in enumerate(zip(plan.steps, planned)):
                self.tell(outcome.name, step.summary())
                self.witness(f"before {step.action}")
                work.seen, work.rest = None, plan.steps[position + 1 :]
                await ACTIONS[type(step)](work, step)
                self.witness(f"after {step.action}")
                if work.notes:
                    action["outcome"] = work.notes.pop()
                # What was done stays said when a later step fails.
                outcome.actions.append(action)
                outcome.changed = outcome.changed or step.action != "define"
        finally:
            # A start stores its definition; what it could not store has not happened.
            outcome.changed = outcome.changed or work.saved
            if not outcome.changed:
                outcome.actions = []


def _planned(plan: Plan, new: Record | None) -> list[dict[str, Any]]:
    actions = [{"action": step.action, "summary": step.summary(), **step.details()} for step in plan.steps]
    for action in actions if new and new.argv and not plan.resumes else ():
        if action["action"] == "start":
            from ._host.render import argv_changes

            action["argv_changes"] = argv_changes(new)  # type: ignore[arg-type]
    return actions


def _describe(plan: Plan, old: Record | None, new: Record | None, seen: Observed, outcome: Outcome) -> None:
    from ._plan.diff import conceal, readable
    from ._spec.declaration import OPTIONS

    if old is None and new:
        outcome.after = {**conceal(OPTIONS, new.raw), "state": plan.status}
        return
    for change in (*plan.changes, *plan.repairs):
        outcome.before[change.path], outcome.after[change.path] = readable(change)
    if plan.status == "absent" and old:
        outcome.before, outcome.after = conceal(OPTIONS, old.raw), {}
    outcome.before["state"], outcome.after["state"] = seen.status, plan.status


def machine_facts(record: Record | None, seen: Observed) -> dict[str, Any]:
    """``vm`` of a task's result."""
    if record is None:
        return {}
    running = seen.spec or record.declared
    ports = [item._asdict() for item in forwards(running, record.identity)]
    return {
        "name": record.name,
        "uuid": record.identity.get("uuid"),
        # QEMU's word for one that has not run yet is a detail of its start.
        "status": "paused" if seen.status == "prelaunch" else seen.status,
        "pid": seen.pid,
        "unit": record.unit if record.supervisor == "systemd" else None,
        "supervisor": record.supervisor,
        "directory": record.directory,
        "sockets": record.sockets_of(running),
        "forwards": ports,
        "accel": record.accel or None,
        "machine": record.identity.get("machine"),
        "qemu_version": seen.qemu_version or record.qemu_version or None,
        "macs": record.identity.get("macs", {}),
        "cid": record.identity.get("cid"),
        "labels": record.declared.get("labels", {}),
    }
