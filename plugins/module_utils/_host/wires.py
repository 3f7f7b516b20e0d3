# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cards of a machine on the switches of this host.

QEMU does not connect again to a switch that ended (vde never, stream since 8.0). So the record says which one each card
was connected to, by its pid and when it began: where another is there now, the card is connected anew.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._errors import HostError, UnresponsiveError
from .._plan.record import Record
from .._spec.network import port_path, switches
from .deadline import Deadline

if TYPE_CHECKING:
    from .._plan.network import NetworkRecord
    from .host import Host

_PAUSE = 0.02
_RETURN_SECONDS = 5.0
_ACCEPTS = "00010000"


def known(host: Host, record: Record) -> dict[str, Any]:
    """``switches`` of an identity: those of the running QEMU too."""
    names = {*switches(record.declared).values(), *switches(record.applied or {}).values()}
    if not names:
        return {}
    stored = {name: site for name, site in record.identity.get("switches", {}).items() if name in names}
    networks = {**host.store.networks(sorted(names)), **{name: network for name, network in host.planned.items() if name in names}}
    found = {"switches": {**stored, **{name: network.site for name, network in networks.items()}}}
    return {**found, "neighbours": record.identity["neighbours"]} if "neighbours" in record.identity else found


def unwired(record: Record, spec: dict[str, Any]) -> frozenset[str]:
    """Cards of the running QEMU that lead nowhere."""
    sites = record.identity.get("switches", {})
    return frozenset(nic for nic, name in switches(spec).items() if record.wired.get(nic) != _who(sites.get(name, {}).get("path", "")))


def _who(run_dir: str) -> str | None:
    from .._plan.program import SWITCH
    from .programs import living

    found = living(run_dir, SWITCH)
    return found.who if found else None


async def connect(host: Host, record: Record, *, as_before: bool, deadline: Deadline) -> None:
    """Before a start: where its cards' switches are, that they await them, and who its neighbours are.

    :param as_before: for saved memory: the guest's seed stays as it is.
    """
    wanted = switches((as_before and record.applied) or record.declared)
    if wanted or "switches" in record.identity:
        networks = host.store.networks(sorted(set(wanted.values())))
        record.identity["switches"] = {name: network.site for name, network in networks.items()}
        if not as_before:
            record.identity["neighbours"] = _neighbours(wanted, networks)
        record.wired = {}
        await _wire(host, record, wanted, deadline)


def _neighbours(wanted: dict[str, str], networks: dict[str, NetworkRecord]) -> dict[str, str]:
    """The address of each host by its name, on the first of the machine's networks that it is on."""
    found: dict[str, str] = {}
    for name in wanted.values():
        found = {**(networks[name].hosts if name in networks else {}), **found}
    return found


async def rewire(host: Host, record: Record, nics: list[str], deadline: Deadline) -> None:
    """Before cards are connected: a hub listens for them, and the record says what they are connected to."""
    await _wire(host, record, {nic: name for nic, name in switches(record.declared).items() if nic in nics}, deadline)


async def _wire(host: Host, record: Record, wanted: dict[str, str], deadline: Deadline) -> None:
    for nic, name in wanted.items():
        site = record.identity.get("switches", {}).get(name)
        if not site:
            continue
        if site["medium"] == "hub":
            await _open_port(host, record, nic, name, deadline)
        record.wired[nic] = _who(site["path"]) or ""


async def _open_port(host: Host, record: Record, nic: str, name: str, deadline: Deadline) -> None:
    from .hub import port_name, port_parts, read_told, tell_hub
    from .lock import hold
    from .networks import lock_name

    network = host.store.networks([name])[name]
    path = port_path(network.run_dir, record.name, nic)
    async with hold(host.paths, lock_name(name), deadline):
        if port_name(path) not in read_told(network.directory):
            await tell_hub(network, {port_name(path): port_parts(path)})
        # A hub that was just started answers before its ports listen (QEMU opens them in a thread), and a card tries once.
        while not _listens(path):
            if deadline.over:
                raise HostError(f"nics[{nic}].switch: the hub of network {name!r} does not listen", hint="Apply its lab again")
            await asyncio.sleep(_PAUSE)


def _listens(path: str) -> bool:
    """Whether a program awaits connections there: a socket that one left behind is not in the kernel's list (proc_net(5): unix)."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
        rows = (line.rstrip("\n").split(maxsplit=7) for line in file)
        return any(len(row) == 8 and row[3] == _ACCEPTS and row[7] == path for row in rows)


async def disconnect(host: Host, record: Record, deadline: Deadline) -> None:
    """The machine is removed: hubs await its cards no more."""
    from .hub import port_name, read_told, tell_hub
    from .lock import hold
    from .networks import lock_name

    for nic, name in switches(record.declared).items():
        network = host.store.networks([name]).get(name)
        if not network or network.medium != "hub":
            continue
        path = port_path(network.run_dir, record.name, nic)
        async with hold(host.paths, lock_name(name), deadline):
            if port_name(path) in read_told(network.directory):
                with suppress(UnresponsiveError):  # it does not run
                    await tell_hub(network, {port_name(path): []})


async def check_switches(host: Host, new: Record, *, running: bool) -> None:
    """
    :param running: whether the switches must run now, and not only be there at a later start.
    :raises HostError: naming the card whose network is not here, or whose switch does not run.
    """
    wanted = switches(new.declared)
    networks = host.store.networks(sorted(set(wanted.values()))) if wanted else {}
    for nic, name in wanted.items():
        path = f"nics[{nic}].switch"
        if name in host.planned:
            continue
        if name not in networks:
            hint = "Apply the lab that has it first; network: user needs none"
            raise HostError(f"{path}: there is no network {name!r} here", hint=hint, path=path)
        if running:
            await _check_runs(host, networks[name], path)


async def _check_runs(host: Host, network: NetworkRecord, path: str) -> None:
    from .._plan.program import SWITCH
    from .programs import will_return

    deadline = Deadline(_RETURN_SECONDS)
    while not _who(network.run_dir):
        if deadline.over or not await will_return(host, network, SWITCH):
            raise HostError(f"{path}: the switch of network {network.name!r} does not run", hint="Apply its lab again", path=path)
        await asyncio.sleep(_PAUSE)
