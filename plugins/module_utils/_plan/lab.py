# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab's task: what is asked, which of its machines it is about, in which order, and what became of them in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .._errors import RefusedError, SpecError
from .._spec.lab import Lab, LabMachine
from .record import Record
from .wish import Wish

# What became of a machine, as it is done and as it is planned.
KINDS = {
    "created": "to create",
    "started": "to start",
    "changed": "to change",
    "restarted": "to restart",
    "stopped": "to stop",
    "removed": "to remove",
    "failed": "that cannot be",
    "skipped": "to skip",
}
_BACKWARDS = ("stopped", "absent")


class LabTask(NamedTuple):
    """What a task asks of a lab.

    :param limit: keys or names of the machines that it is about; none: all.
    :param hosts: what the lab file calls this host ("" where a machine names none); None: all machines are this host's.
    :param elsewhere: what became of machines of other hosts, and of other waves, before: "" is ready, else why it is not.
    :param wave: names of the machines whose turn it is; None: of all. See :func:`waves`.
    :param span: of networks that are on several hosts, by name, what was decided for all: ``addresses`` of their cards, ``is_center``,
        ``links`` and ``uplink`` of this host's switch. None: the lab is this host's alone.
    """

    state: str = "started"
    prune: bool = False
    limit: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    elsewhere: dict[str, str] = {}
    wave: tuple[str, ...] | None = None
    span: dict[str, dict[str, Any]] | None = None
    on_restart_needed: str = "defer"
    timeout: float = 60
    shutdown_timeout: float = 60
    force: bool = False
    supervisor: str = "auto"

    def has(self, machine: LabMachine) -> bool:
        """Whether the machine is this host's."""
        return self.hosts is None or machine.host in self.hosts

    @property
    def removes(self) -> bool:
        """Whether what the lab once made, and its file has no more, goes."""
        return self.prune or self.state == "absent"

    def now(self, machine: LabMachine) -> bool:
        """Whether it is the machine's turn, too."""
        return self.has(machine) and (self.wave is None or machine.name in self.wave)

    def is_about_all(self, lab: Lab) -> bool:
        """Whether it is about all of the lab, and all of it is this host's."""
        return not self.limit and (self.hosts is None or {machine.host for machine in lab.machines.values()} <= set(self.hosts))

    def is_last(self, machines: Iterable[LabMachine]) -> bool:
        """Whether no other wave of this host comes."""
        return all(self.now(machine) or machine.name in self.elsewhere for machine in machines if self.has(machine))

    def wish(self, machine: LabMachine, lab: str) -> Wish:
        return self._wish(machine.name, machine.raw, self.state, machine.timeout, machine.shutdown_timeout)._replace(lab=lab)

    def farewell(self, name: str) -> Wish:
        """For one that goes."""
        return self._wish(name, None, "absent", None, None)

    def _wish(self, name: str, raw: dict[str, Any] | None, state: str, timeout: float | None, shutdown: float | None) -> Wish:
        return Wish(
            name,
            raw,
            state,
            on_restart_needed=self.on_restart_needed,
            timeout=timeout or self.timeout,
            shutdown_timeout=shutdown or self.shutdown_timeout,
            force=self.force,
            supervisor=self.supervisor,
        )


def chosen(lab: Lab, limit: Iterable[str], owned: Iterable[str], *, removes: bool = True) -> set[str]:
    """The full names that the task is about.

    :param owned: the machines that the lab once made. Those that its file has no more are among them only where they are to go
        (``removes``).
    :raises SpecError: a name of ``limit`` is none of them.
    """
    strays = set(owned) - set(lab.machines)
    names: set[str] = set()
    for word in limit:
        found = {name for name in (word, f"{lab.name}-{word}") if name in lab.machines or name in strays}
        found |= {machine.name for machine in lab.machines.values() if machine.key == word}
        if not found:
            raise _unknown(lab, word, strays)
        if not removes and found <= strays:
            raise SpecError("limit", f"{word!r} is no more in the file of lab {lab.name!r}", hint="prune: true removes it")
        names |= found
    names = names or {*lab.machines, *strays}
    return names if removes else names - strays


def _unknown(lab: Lab, word: str, strays: set[str]) -> SpecError:
    from .._spec.validate import nearest

    known = {*(machine.key for machine in lab.machines.values()), *lab.machines, *strays}
    return SpecError("limit", f"{word!r} is no machine of lab {lab.name!r}", hint=nearest(word, sorted(known)))


def before(lab: Lab, state: str) -> dict[str, tuple[str, ...]]:
    """Which machines each must wait for: those it depends on, and where machines end those that depend on it."""
    if state == "present":
        return dict.fromkeys(lab.machines, ())
    if state not in _BACKWARDS:
        return {name: machine.depends_on for name, machine in lab.machines.items()}
    waits: dict[str, tuple[str, ...]] = dict.fromkeys(lab.machines, ())
    for name, machine in lab.machines.items():
        for other in machine.depends_on:
            waits[other] += (name,)
    return waits


def waves(lab: Lab, state: str, names: Iterable[str], host_of: Callable[[LabMachine], str]) -> list[dict[str, list[str]]]:
    """The machines in turns, by host: what each waits for on other hosts was in a turn before its own.

    :param names: those that the task is about. What they wait for is looked at too.
    """
    waits, wanted = before(lab, state), list(names)
    seen = {other for name in wanted for other in waits[name]} if state == "started" else set()
    hosts = {name: host_of(machine) for name, machine in lab.machines.items() if name in {*wanted, *seen}}
    turns, moved = dict.fromkeys(hosts, 0), True
    while moved:
        moved = False
        for name in wanted:
            turn = max((turns[other] + (hosts[other] != hosts[name]) for other in waits[name] if other in hosts), default=0)
            moved, turns[name] = moved or turn > turns[name], max(turn, turns[name])
    found: list[dict[str, list[str]]] = [{} for _turn in range(max(turns.values(), default=-1) + 1)]
    for name, turn in turns.items():
        found[turn].setdefault(hosts[name], []).append(name)
    return found


def check_owner(lab: str, record: Record | None) -> None:
    """
    :raises RefusedError: the machine is there, and no lab of this name made it, here or on the host that it was imported from.
    """
    moved = record and record.imported and not record.lab and record.declared.get("labels", {}).get("lab") == lab
    if record is None or record.lab == lab or moved:
        return
    whose = f"is one of lab {record.lab!r}" if record.lab else "was not made by a lab"
    raise RefusedError(f"a machine of this name is there, and {whose}", hint="Give this one another name (vms.<key>.name), or remove that machine")


def misplaced(machine: LabMachine) -> RefusedError:
    """What is wrong with a machine that is here, and that the lab has on another host."""
    hint = "Move it with maqet_archive, or remove it here first: maqet_vm with state: absent"
    return RefusedError(f"the machine is on this host, and the lab has it on {machine.host or 'the host of the task'}", hint=hint)


def kind_of(actions: list[dict[str, Any]], *, created: bool) -> str:
    """What its actions make of a machine, or of a network, in one word."""
    done = {action["action"] for action in actions}
    if done & {"remove", "remove_network"}:
        return "removed"
    if created and done:
        return "created"
    if "start" in done:
        return "restarted" if "stop" in done else "started"
    return "stopped" if done & {"stop", "suspend"} else "changed" if done else "unchanged"


def summary(vms: dict[str, dict[str, Any]], *, check: bool, networks: dict[str, dict[str, Any]] | None = None) -> str:
    """``3 to create, 1 to change, 1 pending restart, 12 unchanged, 1 network removed``: unchanged are those machines alone for which
    nothing waits.

    :param vms, networks: as in the task's result.
    """
    pending = sum(bool(vm["pending_restart"]) for vm in vms.values())
    count = Counter(vm["result"] for vm in vms.values() if vm["result"] != "unchanged" or not vm["pending_restart"])
    words = {kind: plan if check else kind for kind, plan in KINDS.items()}
    parts = [f"{count[kind]} {said}" for kind, said in words.items() if count[kind]]
    parts += [f"{pending} pending restart"] if pending else []
    beside = Counter(network["result"] for network in (networks or {}).values())
    more = [f"{_networks(beside[kind])} {said}" for kind, said in words.items() if beside[kind]]
    return ", ".join([*parts, *([f"{count['unchanged']} unchanged"] if count["unchanged"] or not (parts or more) else []), *more])


def _networks(count: int) -> str:
    return f"{count} network{'s' if count > 1 else ''}"


def failure(lab: str, vms: dict[str, dict[str, Any]], networks: dict[str, dict[str, Any]]) -> str:
    """One message for all, of parts of a task's result: who failed and why, and who was skipped for it; empty when all is well."""
    cut = {name: network["error"] for name, network in networks.items() if network["error"]}
    failed = {name: vm["error"] for name, vm in vms.items() if vm["error"]}
    skipped = {name: vm["skipped"] for name, vm in vms.items() if vm["skipped"]}
    if not cut and not failed and not skipped:
        return ""
    lines = [*(f"network {name}: {_said(error)}" for name, error in cut.items()), *(f"{name}: {_said(error)}" for name, error in failed.items())]
    lines += [f"{name}: skipped, since it {why}" if why.startswith("depends") else f"{name}: skipped, {why}" for name, why in skipped.items()]
    more = f", {_networks(len(cut))} failed" if cut else ""
    return "\n".join([f"{lab}: {len(failed)} failed, {len(skipped)} skipped, of {len(vms)} machines{more}", *lines])


def _said(error: dict[str, Any]) -> str:
    return ". ".join(filter(None, (str(error["msg"]).rstrip("."), error.get("hint"))))
