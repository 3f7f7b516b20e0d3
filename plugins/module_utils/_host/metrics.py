# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine that runs has used so far: of its process, by two questions to QEMU, and by its guest's agent where one answers."""

from __future__ import annotations

import os
from typing import Any

from .._errors import MachineError, MaqetError, QmpError
from .._plan.record import Record
from . import recorder
from .agent import Agent, Channel, open_agent
from .deadline import Deadline
from .host import Host
from .liveness import age_of, process_facts
from .look_inside import read_file
from .qmp import Monitor, open_monitor

_AGENT_SECONDS = 1.0
_NANO = 1_000_000_000
# query-blockstats' words, and ours.
_BLOCK = {
    "rd_bytes": "read_bytes",
    "wr_bytes": "write_bytes",
    "rd_operations": "read_operations",
    "wr_operations": "write_operations",
    "flush_operations": "flush_operations",
    "failed_rd_operations": "failed_read_operations",
    "failed_wr_operations": "failed_write_operations",
}
_TIMES = {"rd_total_time_ns": "read_seconds", "wr_total_time_ns": "write_seconds"}
# guest-network-get-interfaces' words for what a card did, and ours.
_NET = {
    "rx-bytes": "receive_bytes",
    "tx-bytes": "transmit_bytes",
    "rx-packets": "receive_packets",
    "tx-packets": "transmit_packets",
    "rx-errs": "receive_errors",
    "tx-errs": "transmit_errors",
    "rx-dropped": "receive_dropped",
    "tx-dropped": "transmit_dropped",
}


async def measure(host: Host, record: Record, pid: int, deadline: Deadline) -> dict[str, Any]:
    """Counters since QEMU's start; what nobody tells is None.

    :raises MachineError: QEMU does not answer.
    """
    async with open_monitor(record.sockets["qmp"], deadline) as monitor:
        blocks = await monitor.execute("query-blockstats")
        balloon = await _balloon(monitor)
    guest = await _of_guest(record, record.applied_to(pid) or record.declared, deadline.within(_AGENT_SECONDS))
    return {
        "uptime_seconds": round(age_of(pid), 2),
        "cpu_seconds": _cpu_seconds(pid),
        "restarts": await _restarts(host, record),
        "memory": {**_memory(pid), "size": record.applied_to(pid)["memory"], "balloon": balloon, **guest.pop("memory", {})},
        "disks": _disks(blocks),
        "nics": guest.pop("nics", {}),
        "load": guest.pop("load", None),
    }


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, those that are the guest's processors among them."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> dict[str, int]:
    facts = process_facts(pid)
    return {name: int(facts.get(key, "0 kB").split()[0]) * 1024 for name, key in (("resident", "VmRSS"), ("swapped", "VmSwap"))}


async def _balloon(monitor: Monitor) -> int | None:
    try:
        return int((await monitor.execute("query-balloon"))["actual"])
    except QmpError:
        return None  # a board without one


async def _restarts(host: Host, record: Record) -> int | None:
    """How often systemd started it again since a task started it."""
    try:
        found = (await host.supervisor(record).details(record.unit)).get("NRestarts")
    except MaqetError:
        return None
    return None if found is None else int(found)


def _disks(blocks: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By the disks' names: of our devices, and no others."""
    found = {}
    for item in blocks:
        name = item.get("qdev", "").replace("/machine/peripheral/", "").partition("/")[0]
        if name.startswith("disk-"):
            stats = item["stats"]
            counters = {ours: stats[theirs] for theirs, ours in _BLOCK.items() if theirs in stats}
            found[name[len("disk-") :]] = {**counters, **{ours: stats[theirs] / _NANO for theirs, ours in _TIMES.items() if theirs in stats}}
    return found


async def _of_guest(record: Record, spec: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    """``{load, memory, nics}``, as far as an agent tells; a guest without one costs no time."""
    if not spec.get("guest_agent"):
        return {}
    found: dict[str, Any] = {}
    try:
        Channel(record.directory, recorder.last_boot(record.directory)).check()
        async with open_agent(record.sockets_of(spec)["agent"], deadline) as agent:
            found["nics"] = _nics(await agent.execute("guest-network-get-interfaces"), spec, record.identity)
            found["load"] = await _load(agent)
            found["memory"] = _guest_memory(await read_file(agent, "/proc/meminfo"))
    except MachineError:
        pass  # it is silent, may not be asked that, or is no Linux
    return found


def _nics(cards: list[dict[str, Any]], spec: dict[str, Any], identity: dict[str, Any]) -> dict[str, dict[str, int]]:
    by_mac = {card.get("hardware-address", "").lower(): card.get("statistics", {}) for card in cards}
    macs = {name: (nic["mac"] or identity["macs"].get(name, "")).lower() for name, nic in spec["nics"].items()}
    return {name: {ours: by_mac[mac][theirs] for theirs, ours in _NET.items() if theirs in by_mac[mac]} for name, mac in macs.items() if mac in by_mac}


async def _load(agent: Agent) -> list[float]:
    """Over 1, 5 and 15 minutes. Agents before 10.0 have no question for it."""
    try:
        answer = await agent.execute("guest-get-load")
        return [answer["load1m"], answer["load5m"], answer["load15m"]]
    except QmpError:
        return [float(word) for word in (await read_file(agent, "/proc/loadavg")).split()[:3]]


def _guest_memory(text: str) -> dict[str, int]:
    facts = {key: int(value.split()[0]) * 1024 for key, _colon, value in (line.partition(":") for line in text.splitlines()) if value.strip()}
    return {"guest_total": facts["MemTotal"], "guest_available": facts.get("MemAvailable", facts["MemFree"])}
