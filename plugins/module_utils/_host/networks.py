# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of machines on this host, as they are wished. Each has a lock, a record and programs of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .._errors import HostError, RefusedError, UnresponsiveError
from .._plan.network import NetworkRecord, NetworkSeen, NetworkWish, is_settled
from .._plan.program import QEMU, SWITCH, UPLINK, Program, monitor_path
from .._spec.name import check_name
from . import lock, programs
from .deadline import Deadline
from .host import Host
from .links import links, troubles
from .paths import SOCKET_PATH_MAX, make_private

_PAUSE = 0.01
_RETURN_SECONDS = 5.0
_START_SECONDS = 10.0
# What a client adds to the path of a switch's directory: its own socket there (libvdeplug).
_CLIENT = "/.4194304-00000"


class Outcome(Protocol):
    """What became of a network, as the engine has it of machines."""

    changed: bool
    actions: list[dict[str, Any]]
    before: dict[str, Any]
    after: dict[str, Any]
    warnings: list[str]
    vm: dict[str, Any]


def lock_name(name: str) -> str:
    """A machine's name has no colon, so no machine's lock is called like this."""
    return f"net:{name}"


def run_dir_of(host: Host, name: str) -> str:
    return host.paths.run_dir(lock_name(name))


@dataclass(frozen=True, repr=False, eq=False)
class _Task:
    """One network's wish on this host, and what becomes of it."""

    host: Host
    wish: NetworkWish
    outcome: Outcome
    check: bool
    witness: Callable[[str], None]


async def reach_network(host: Host, wish: NetworkWish, outcome: Outcome, *, check: bool, witness: Callable[[str], None] = lambda moment: None) -> None:
    """Bring the network to its wish.

    :raises MaqetError: what was done before stays in ``outcome.actions``.
    """
    check_name(wish.name)
    task = _Task(host, wish, outcome, check, witness)
    if not host.paths.in_use and (check or wish.state == "absent"):
        await _reach_held(task, None)
        return
    async with lock.hold(host.paths, lock_name(wish.name), Deadline(wish.timeout)) as held:
        try:
            await _reach_held(task, host.store.networks([wish.name]).get(wish.name))
        finally:
            if not os.path.exists(f"{host.paths.networks}/{wish.name}"):
                held.discard()


async def _reach_held(task: _Task, old: NetworkRecord | None) -> None:
    new = await _renew(task.host, task.wish, old)
    seen = await observe(task.host, new) if new else NetworkSeen()
    stays = task.wish.state != "absent"
    if old and new and task.wish.state == "started" and old.declared["links"] == new.declared["links"]:
        task.outcome.warnings += troubles(new)
    if not is_settled(task.wish, old, new, seen):
        await _change(task, old, new, seen)
        if new and not task.check:
            seen = await observe(task.host, new) if stays else NetworkSeen()
    task.outcome.vm = network_facts(new, seen) if stays and new else {}


async def _change(task: _Task, old: NetworkRecord | None, new: NetworkRecord | None, seen: NetworkSeen) -> None:
    from .._plan.network import make_network_plan

    host, wish, outcome = task.host, task.wish, task.outcome
    if old and wish.supervisor not in ("auto", old.supervisor) and seen.runs and wish.state != "absent":
        raise RefusedError(f"the network runs under supervisor {old.supervisor}", hint="Remove it first, or supervisor: auto")
    steps = make_network_plan(wish, old, new, seen._replace(users=users_of(host, wish.name)))
    outcome.before = _shown(old, seen)
    if new and wish.state != "absent":
        if wish.state == "started":
            _preflight(host, new, joined=bool(wish.links) or wish.is_center)
        host.planned.update({new.name: new} if task.check else {})
        outcome.after = _shown(new, None if wish.state == "started" else seen)
    outcome.actions = [{"action": step.action, "summary": step.summary(), **step.details()} for step in steps]
    outcome.changed = bool(steps)
    if new and steps and not task.check:
        from .network_actions import take

        await take(host, new, steps, outcome, task.witness, fresh=old is None)


async def _renew(host: Host, wish: NetworkWish, old: NetworkRecord | None) -> NetworkRecord | None:
    """The record as the task wants it."""
    if wish.state == "absent" or (old and wish.state == "present"):
        return old and old.copy()
    new = old.copy() if old else _blank(host, wish)
    if not old or old.declared["driver"] != wish.driver:
        new.medium = await choose_medium(host, wish.driver)
    new.lab, new.declared, new.addresses, new.hosts = wish.lab, wish.declaration, dict(wish.addresses), dict(wish.hosts)
    if wish.supervisor != "auto":
        new.supervisor = wish.supervisor
    return new


def _blank(host: Host, wish: NetworkWish) -> NetworkRecord:
    return NetworkRecord(wish.name, host.choose_supervisor(wish.supervisor), f"{host.paths.networks}/{wish.name}", run_dir_of(host, wish.name))


async def choose_medium(host: Host, driver: str) -> str:
    """A real switch where QEMU and this host have what it takes; else one QEMU is the hub of the others."""
    from .command import find_program
    from .probe import qemu_facts

    if driver == "hub":
        return "hub"
    try:
        find_program("vde_switch")
    except HostError:
        return "hub"
    async with host.probing:
        netdevs = (await qemu_facts(host.paths, programs.find_any_qemu(), keep=host.keeps))["netdevs"]
    return "vde" if "vde" in netdevs else "hub"


async def observe(host: Host, record: NetworkRecord) -> NetworkSeen:
    """What runs for the network; one that systemd is about to start again is waited for."""
    seen = _look(record)
    deadline = Deadline(_RETURN_SECONDS)
    while not deadline.over:
        gone = [name for name in programs.known(record.run_dir) if name not in seen.runs and (name in seen.outlived or name not in seen.stale)]
        gone = [name for name in gone if await programs.will_return(host, record, name)]
        away = {name for name in gone if name.startswith("link-")}
        if len(away) == len(gone):
            # The other end of a link may be away for hours, and systemd goes on trying: as good as running.
            return seen._replace(runs=seen.runs | away, stale=seen.stale - away)
        await asyncio.sleep(_PAUSE)
        seen = _look(record)
    return seen


def _look(record: NetworkRecord) -> NetworkSeen:
    wanted = record.programs
    runs: set[str] = set()
    stale: set[str] = set()
    outlived: set[str] = set()
    pids = {}
    found = {name: programs.living(record.run_dir, name) for name in {*wanted, *programs.known(record.run_dir)}}
    switch = found.get(SWITCH)
    for name, there in found.items():
        if not there:
            continue
        pids[name] = there.pid
        same = name in wanted and wanted[name].is_in(there.argv)
        if switch and there.start < switch.start:
            outlived.add(name)
        (runs if same and name not in outlived else stale).add(name)
    if record.medium == "hub" and SWITCH in runs:
        from .hub import read_told

        told = read_told(record.directory).get(UPLINK)
        if told:
            from .._plan.program import uplink_parts

            (runs if told == list(uplink_parts(record.declared)) else stale).add(UPLINK)
    return NetworkSeen(frozenset(runs), frozenset(stale), frozenset(outlived), pids)


def users_of(host: Host, name: str) -> tuple[str, ...]:
    """Machines that have a card on it, or will at their next start."""
    from .._spec.network import switches
    from .liveness import living_pid

    found = []
    for record in host.store.load().values():
        specs = [record.declared, *([record.applied] if record.applied and living_pid(record.directory) else [])]
        if any(name in switches(spec).values() for spec in specs):
            found.append(record.name)
    return tuple(found)


def _preflight(host: Host, new: NetworkRecord, *, joined: bool) -> None:
    """
    :param joined: it is to be one segment with switches of other hosts.
    :raises HostError: naming what the network needs and this host has not.
    """
    programs.find_programs(new)
    if len(os.fsencode(f"{new.run_dir}/vde{_CLIENT}")) > SOCKET_PATH_MAX:
        raise HostError(
            f"the paths of the switch's sockets are longer than {SOCKET_PATH_MAX} bytes: {new.run_dir}/vde{_CLIENT}",
            hint="Use a shorter XDG_RUNTIME_DIR (or TMPDIR, where there is no runtime directory)",
        )
    if new.medium == "hub" and joined:
        raise HostError("links: a hub cannot be linked to other hosts", hint="Install vde_switch on them (vde-switch and vdeplug on Debian), or use one host")
    if new.supervisor == "systemd":
        host.supervisor(new)  # type: ignore[arg-type]


async def await_program(host: Host, record: NetworkRecord, program: Program) -> None:
    """
    :raises StartError: it ended before it could be used. A link comes when its other end does.
    """
    deadline, grace = Deadline(_START_SECONDS), Deadline(1)
    while program.kind in (SWITCH, UPLINK):
        alive = programs.living(record.run_dir, program.name)
        if alive and await _answers(record, program):
            return
        if deadline.over or (grace.over and not alive and not await programs.will_return(host, record, program.name)):
            await programs.stop(host, record, program.name)
            raise programs.start_error(record, program)
        await asyncio.sleep(_PAUSE)


async def _answers(record: NetworkRecord, program: Program) -> bool:
    if program.argv[0] != QEMU:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            return client.connect_ex(f"{record.run_dir}/vde/ctl") == 0
    from .qmp import open_monitor

    try:
        async with open_monitor(monitor_path(record.run_dir, program.name), Deadline(1)):
            return True
    except UnresponsiveError:
        return False


def make_directories(record: NetworkRecord) -> None:
    make_private(record.directory)
    make_private(os.path.dirname(record.run_dir))
    make_private(record.run_dir)


def remove_directories(record: NetworkRecord, witness: Callable[[str], None]) -> None:
    shutil.rmtree(record.run_dir, ignore_errors=True)
    witness("sockets removed")
    # network.json goes last: until then a rerun finds the network by it even without the state DB.
    for entry in sorted(os.listdir(record.directory), key=lambda name: name == "network.json") if os.path.isdir(record.directory) else ():
        os.unlink(f"{record.directory}/{entry}")
        witness("file removed")
    if os.path.isdir(record.directory):
        os.rmdir(record.directory)


def _shown(record: NetworkRecord | None, seen: NetworkSeen | None) -> dict[str, Any]:
    """A network as a user would write it."""
    if record is None:
        return {}
    declared = {key: value for key, value in record.declared.items() if value not in ("", {}, [], None)}
    return {**declared, "addresses": record.addresses, "state": seen.status if seen else "running"}


def network_facts(record: NetworkRecord, seen: NetworkSeen) -> dict[str, Any]:
    """A network in a task's result."""
    return {
        "name": record.name,
        "lab": record.lab or None,
        "status": seen.status,
        "driver": record.declared["driver"],
        "medium": record.medium,
        "subnet": record.declared["subnet"] or None,
        "uplink": record.declared["uplink"],
        "links": links(record),
        "addresses": record.addresses,
        "pid": seen.pids.get(SWITCH),
        "unit": record.unit if record.supervisor == "systemd" else None,
        "supervisor": record.supervisor,
        "directory": record.directory,
    }
