# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe, and change what is not as it should be: for a list of machines at once. One machine is a list of one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from ._errors import HostError, MachineError, MaqetError, SpecError, UnresponsiveError
from ._host import lock
from ._host.deadline import Deadline
from ._host.gate import Gate
from ._host.host import Host
from ._host.liveness import living_pid
from ._host.observe import observe
from ._outcome import Outcome, machine_facts
from ._plan.record import Record
from ._plan.wish import Wish, is_settled
from ._spec.name import check_name

if TYPE_CHECKING:
    from ._change import Change
    from ._host.qmp import Monitor

T = TypeVar("T")


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

    async def look(self, outcome: Outcome, deadline: Deadline) -> None:
        """At one machine as it is."""
        async with self.hold(outcome.name, deadline) as record:
            outcome.vm = machine_facts(record, await observe(self.host, record, deadline))

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
        await self.change(wish, outcome).make(old, new, seen, check=check)

    def change(self, wish: Wish, outcome: Outcome) -> Change:
        """What brings a machine to a wish that is not met."""
        from ._change import Change

        return Change(self.host, wish, outcome, witness=self.witness, tell=self.tell)

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
