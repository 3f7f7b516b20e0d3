# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole lab brought to its wish by one engine: its networks, and its machines in the order of what they depend on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._engine import Engine
from ._errors import MachineError, SpecError
from ._host.deadline import Deadline
from ._host.gate import Gate
from ._outcome import Outcome
from ._plan.lab import LabTask, before, check_owner, chosen, kind_of, misplaced
from ._spec.lab import Lab, LabMachine, allot, compile_lab, neighbours

if TYPE_CHECKING:
    from ._host.host import Host
    from ._plan.network import NetworkWish
    from ._plan.record import Record

# The states in which networks run: where machines stop, nothing is started for it, and nothing keeps them from that.
_USING = ("started", "present")
_LOOK_SECONDS = 5.0


@dataclass(repr=False, eq=False)
class Member:
    """What became of one machine of the lab, or of one network.

    :param skipped: why it was left alone; ready: seconds from its start until it was ready.
    """

    outcome: Outcome
    created: bool = False
    skipped: str = ""
    ready: float | None = None

    @property
    def kind(self) -> str:
        if self.skipped:
            return "skipped"
        return "failed" if self.outcome.error else kind_of(self.outcome.actions, created=self.created)

    @property
    def why(self) -> str:
        """Why those that depend on it cannot go on; empty when they can."""
        return self.skipped or (str(self.outcome.error) if self.outcome.error else "")


@dataclass(repr=False, eq=False)
class LabOutcome:
    """What became of a lab, by full names.

    :param ends: of each machine whose turn it was, why those that depend on it cannot go on; addresses: of its cards.
    """

    name: str
    members: dict[str, Member] = field(default_factory=dict)
    networks: dict[str, Member] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, list[str]] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return any(member.outcome.changed for member in (*self.members.values(), *self.networks.values()))

    @property
    def failed(self) -> bool:
        return any(member.why for member in (*self.members.values(), *self.networks.values()))


def run_lab(definition: dict[str, Any], task: LabTask, *, engine: Engine | None = None, check: bool = False) -> LabOutcome:
    """Bring a lab's machines of this host to the task's state.

    :param definition: the lab file.
    :raises MaqetError: the definition is wrong, and nothing was done. What goes wrong later is its machine's alone.
    """
    engine = engine or Engine()
    run = _Run(engine, definition, task, check=check)
    return asyncio.run(run.run())


def recall(definition: dict[str, Any], host: Host) -> dict[str, dict[str, str]]:
    """The addresses that the lab's cards have had on this host, by network."""
    lab = compile_lab(definition)
    return known_addresses(host, lab, host.store.load(list(lab.machines)))


def known_addresses(host: Host, lab: Lab, records: dict[str, Record]) -> dict[str, dict[str, str]]:
    """The same of a compiled lab; empty where no network has a subnet."""
    if not any(network.subnet for network in lab.networks.values()):
        return {}
    stored = host.store.networks(list(lab.networks))
    return {name: {**_worn(cards, records), **(stored[name].addresses if name in stored else {})} for name, cards in lab.addresses.items()}


def _worn(cards: Iterable[str], records: dict[str, Record]) -> dict[str, str]:
    """The addresses that these cards, ``<machine>/<nic>``, were declared with last."""
    worn = {}
    for card in cards:
        name, _slash, nic = card.partition("/")
        declared = records[name].raw.get("nics", ()) if name in records else ()
        address = next((item.get("address") for item in declared if item["name"] == nic), None)
        if address:
            worn[card] = address.partition("/")[0]
    return worn


class _Run:
    def __init__(self, engine: Engine, definition: dict[str, Any], task: LabTask, *, check: bool) -> None:
        self.engine, self.host, self.task, self.check = engine, engine.host, task, check
        self.host.keeps = not check
        lab = compile_lab(definition)
        self.records: dict[str, Record] = self.host.store.load(list(lab.machines))
        self.lab = self._addressed(lab, known_addresses(self.host, lab, self.records))
        if any(name not in self.records or self.records[name].raw != machine.raw for name, machine in self.lab.machines.items()):
            from ._spec.lab_check import check_lab

            check_lab(definition)
        # Without either only for what limit may name.
        owned = self.host.store.of_lab(lab.name) if task.removes or task.limit else ()
        self.chosen = chosen(lab, task.limit, owned, removes=task.removes)
        self.gone = self.chosen - set(lab.machines)
        self.outcome = LabOutcome(lab.name, warnings=self._warn())
        self.waits = before(lab, task.state)
        self.ends: dict[str, asyncio.Future[str]] = {}

    def _addressed(self, lab: Lab, known: dict[str, dict[str, str]]) -> Lab:
        """With addresses for the cards that name none: those that they have had since they came, or that all hosts of a network were told."""
        if self.task.span is None and self.task.state in _USING and (linked := [network for network in lab.networks.values() if network.links]):
            raise SpecError(f"networks.{linked[0].key}.links", "joins hosts, and no machine names one", hint="Leave it out, or add host to machines")
        told = {name: part["addresses"] for name, part in (self.task.span or {}).items() if "addresses" in part}
        return allot(lab, {**known, **told}) if known or told else lab

    def _warn(self) -> list[str]:
        new = [machine for name, machine in self.lab.machines.items() if name in self.chosen and name not in self.records and self.task.has(machine)]
        if not new or self.task.state != "started":
            return []
        from ._host.room import shortage
        from ._spec import memory, size

        said = shortage(size.parse_size(machine.raw.get("memory") or memory.OPTIONS[0].default) for machine in new)
        return [said] if said else []

    async def run(self) -> LabOutcome:
        self.gate = self.host.gate = Gate(self.engine.parallel)
        self.ends = {name: asyncio.get_running_loop().create_future() for name in self.lab.machines}
        here = [machine for name, machine in self.lab.machines.items() if name in self.chosen and self.task.has(machine)]
        mine = [machine for machine in here if self.task.now(machine)]
        leaving = {*self.gone, *(machine.name for machine in here if self.task.state == "absent")}
        self.host.leaving |= leaving
        try:
            if self.task.state != "absent":
                await self._networks(mine)
            # First, since what comes may want their ports.
            await asyncio.gather(*(self._remove(name) for name in sorted(self.gone)))
            others = [self._look(name) for name in self.lab.machines if name not in {machine.name for machine in mine}]
            await asyncio.gather(*others, *(self._bring(machine) for machine in mine))
            if self.task.removes and self.task.is_last(here):
                await self._end_networks()
            await self._look_at_links()
        finally:
            await self.host.close()
        self.outcome.ends = {name: end.result() for name, end in self.ends.items() if self.task.now(self.lab.machines[name])}
        self.outcome.addresses = self._addresses()
        self.outcome.members = {name: self.outcome.members[name] for name in [*self.lab.machines, *sorted(self.gone)] if name in self.outcome.members}
        return self.outcome

    def _addresses(self) -> dict[str, list[str]]:
        cards = {name: machine.raw.get("nics", ()) for name, machine in self.lab.machines.items()}
        return {name: [card["address"].partition("/")[0] for card in nics if card.get("address")] for name, nics in cards.items()}

    async def _bring(self, machine: LabMachine) -> None:
        member = self._member(machine.name)
        member.skipped = await self._why_not(machine)
        if not member.skipped:
            async with self.gate.turn(machine.name):
                await self.engine.attempt(member.outcome, lambda outcome: self._reach(machine, outcome))
            if self.task.state == "started" and not self.check and not member.outcome.error:
                await self.engine.attempt(member.outcome, lambda outcome: self._await_ready(machine, member))
        if member.why:
            self.engine.tell(machine.name, f"skipped: {member.skipped}" if member.skipped else f"failed: {member.outcome.error}")
            await self._see(member.outcome)
        self.ends[machine.name].set_result(member.why)

    def _member(self, name: str) -> Member:
        member = self.outcome.members[name] = Member(Outcome(name), created=name not in self.records)
        return member

    async def _see(self, outcome: Outcome) -> None:
        """A machine to which not all was done that was to be: what it is like has to be looked at."""
        if not outcome.vm and self.host.store.load([outcome.name]):
            seen = await self.engine.attempt(Outcome(outcome.name), lambda seen: self.engine.look(seen, Deadline(_LOOK_SECONDS)))
            outcome.vm = seen.vm

    async def _why_not(self, machine: LabMachine) -> str:
        """Waits for what comes before the machine; why it must be left alone."""
        for network in _networks_of(machine) if self.task.state in _USING else ():
            member = self.outcome.networks.get(network)
            if member and member.why:
                return f"network {network} failed"
        waits = [name for name in self.waits[machine.name] if not self.ends[name].done()]
        if waits:
            self.engine.tell(machine.name, f"waits for {', '.join(waits)}")
        blocked = [name for name in self.waits[machine.name] if await self.ends[name]]
        return f"{'depends on' if self.task.state == 'started' else 'waits for'} {', '.join(blocked)}" if blocked else ""

    async def _reach(self, machine: LabMachine, outcome: Outcome) -> None:
        check_owner(self.lab.name, self.records.get(machine.name))
        wish = self.task.farewell(machine.name) if self.task.state == "absent" else self.task.wish(machine, self.lab.name)
        await self.engine.reach(wish, outcome, check=self.check)

    async def _await_ready(self, machine: LabMachine, member: Member) -> None:
        if not machine.ready:
            return
        from ._host.conditions import await_ready, was_ready

        settled = self.records.get(machine.name) if not member.outcome.actions else None
        record = settled or self.host.store.load([machine.name])[machine.name]
        member.ready = was_ready(record, member.outcome.vm["pid"], machine.ready)
        if member.ready is None:
            self.engine.tell(machine.name, "waits until it is ready")
            began = time.monotonic()
            await await_ready(self.host, record, machine.ready, Deadline(machine.ready_timeout))
            member.ready = was_ready(record, member.outcome.vm["pid"], machine.ready) or time.monotonic() - began
            self.engine.tell(machine.name, f"ready after {member.ready:.1f} s")

    async def _look(self, name: str) -> None:
        """At a machine of the lab that the task is not about: whether those that it is about can go on."""
        machine, why = self.lab.machines[name], ""
        if not self.task.has(machine):
            why = self.task.elsewhere.get(name, "")
            if name in self.chosen and name in self.records and self.records[name].lab == self.lab.name:
                member = self._member(name)
                member.outcome.error = misplaced(machine)
                await self._see(member.outcome)
        elif not self.task.now(machine):
            why = self.task.elsewhere.get(name, "")
        elif self.task.state == "started" and any(name in self.waits[other] for other in self.chosen if other in self.waits):
            outcome = await self.engine.attempt(Outcome(name), lambda outcome: self._find_ready(machine, outcome))
            why = str(outcome.error or "")
        self.ends[name].set_result(why)

    async def _find_ready(self, machine: LabMachine, outcome: Outcome) -> None:
        from ._host.liveness import living_pid

        record = self.records.get(machine.name)
        pid = record and living_pid(record.directory)
        if not record or not pid:
            raise MachineError("it does not run, and is not among those of limit")
        if not self.check:
            outcome.vm = {"pid": pid}
            await self._await_ready(machine, Member(outcome))

    async def _remove(self, name: str) -> None:
        member = self._member(name)
        member.created = False
        async with self.gate.turn(name):
            await self.engine.attempt(member.outcome, lambda outcome: self.engine.reach(self.task.farewell(name), outcome, check=self.check))
        if member.why:
            await self._see(member.outcome)

    async def _networks(self, machines: list[LabMachine]) -> None:
        """Those that the machines are on. Of a lab that is on this host alone all, since others than its own may join them."""
        used, state = {network for machine in machines for network in _networks_of(machine)}, self.task.state
        wishes = [wish for wish in self._network_wishes() if wish.name in used or (state in _USING and self.task.is_about_all(self.lab))]
        await asyncio.gather(*(self._reach_network(wish if state in _USING else wish._replace(state="present")) for wish in wishes))

    async def _look_at_links(self) -> None:
        """Those that were started for this task are given the time to come: one may take the place of an uplink."""
        members = {name: member.outcome for name, member in self.outcome.networks.items() if member.outcome.vm.get("links")}
        begun = [name for name, outcome in members.items() if any(action["action"].endswith("_link") for action in outcome.actions)]
        if begun and not self.check:
            from ._host.links import await_links, links, troubles

            records = self.host.store.networks(begun)
            await asyncio.gather(*(await_links(record) for record in records.values()))
            for name, record in records.items():
                members[name].vm["links"] = links(record)
                members[name].warnings += [words for words in troubles(record) if words not in members[name].warnings]

    def _network_wishes(self) -> list[NetworkWish]:
        switches = [network for network in self.lab.networks.values() if network.driver in ("switch", "hub")]
        if not switches:
            return []
        from ._plan.network import NetworkWish

        wishes, hosts = [], neighbours(self.lab)
        for network in switches:
            part = (self.task.span or {}).get(network.name, {})
            wishes.append(
                NetworkWish(
                    name=network.name,
                    lab=self.lab.name,
                    driver=network.driver,
                    subnet=network.subnet,
                    gateway=network.gateway,
                    dns=network.dns,
                    uplink=part.get("uplink", network.uplink),
                    links=part.get("links", {}),
                    is_center=part.get("is_center", False),
                    addresses=self.lab.addresses.get(network.name, {}),
                    hosts=hosts.get(network.name, {}),
                    supervisor=self.task.supervisor,
                    timeout=self.task.timeout,
                )
            )
        return wishes

    async def _reach_network(self, wish: NetworkWish) -> None:
        from ._host.networks import reach_network

        member = self.outcome.networks[wish.name] = Member(Outcome(wish.name), created=wish.name not in self.host.store.networks([wish.name]))
        await self.engine.attempt(member.outcome, lambda outcome: reach_network(self.host, wish, outcome, check=self.check, witness=self.engine.witness))
        if member.why:
            self.engine.tell(wish.name, f"failed: {member.why}")

    async def _end_networks(self) -> None:
        """Those that the lab has no more, now that no machine of it is on them."""
        ending = self._ending()
        if ending:
            from ._plan.network import NetworkWish

            leaving = {name: self._leaving(name) for name in ending}
            wishes = [NetworkWish(name=name, lab=self.lab.name, state="absent", timeout=self.task.timeout, leaving=names) for name, names in leaving.items()]
            await asyncio.gather(*(self._reach_network(wish) for wish in wishes))
        for name, network in list(self.outcome.networks.items()):
            users = (network.outcome.error and network.outcome.error.data.get("machines")) or ()
            if users and all(name in self.outcome.members and self.outcome.members[name].outcome.pending_restart for name in users):
                del self.outcome.networks[name]
                self.outcome.warnings.append(
                    f"network {name} stays until {', '.join(users)} let go of it: {'at their' if len(users) > 1 else 'at its'} next start"
                )

    def _ending(self) -> list[str]:
        """A task that is about some machines leaves networks alone that others are on."""
        kept = set() if self.task.state == "absent" and not self.task.limit else set(self.lab.networks)
        names = [record.name for record in self.host.store.networks().values() if record.lab == self.lab.name and record.name not in kept]
        if names and self.task.limit:
            from ._host.networks import users_of

            return [name for name in names if self.chosen.issuperset(users_of(self.host, name))]
        return names

    def _leaving(self, network: str) -> tuple[str, ...]:
        """Machines that are on the network no more when the task has ended: in check mode they still are."""
        moved = {name for name, machine in self.lab.machines.items() if name in self.chosen and network not in _networks_of(machine)}
        return tuple(self.host.leaving | (moved if self.check else set()))


def _networks_of(machine: LabMachine) -> list[str]:
    """The switches that its cards are connected to."""
    return [nic["switch"] for nic in machine.raw.get("nics", ()) if nic.get("switch")]


__all__ = ["LabOutcome", "LabTask", "Member", "recall", "run_lab"]
