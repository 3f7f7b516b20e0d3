# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Points in time: qcow2's own snapshots in the disks; memory, UEFI variables and the TPM's state in a directory beside."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from .._errors import HostError, MachineError, MaqetError, RefusedError, UnresponsiveError
from .._plan.record import Record
from .._plan.snapshot import SnapshotTask, become
from .._plan.wish import Observed
from .._spec.forward import forwards
from .._spec.option import cold
from . import memory
from .agent import open_agent
from .deadline import Deadline
from .host import Host
from .liveness import living_pid, process_facts
from .paths import free_bytes, make_private
from .qemu_img import image_info, make_durable, qemu_img
from .qmp import Monitor, open_monitor
from .saved_by import check_fit, identity_of

if TYPE_CHECKING:
    from .actions import Work

# An agent that works answers in milliseconds; thawing takes a slow guest longer.
_AGENT_SECONDS, _FREEZE_SECONDS = 3.0, 30.0
_OURS = ("snapshot-save", "snapshot-load")
_QEMU_IMG_SECONDS = 600.0
# Beside the memory: the devices' state. In each disk: qcow2's own tables; short of room for them QEMU leaks clusters.
_MARGIN, _TABLES = 16 << 20, 1 << 20


async def check_take(record: Record, seen: Observed, entry: dict[str, Any], task: SnapshotTask) -> None:
    """Look at what is to be taken; the entry knows the disks' sizes then.

    :raises MaqetError: why the snapshot cannot be taken now; nothing has been done.
    """
    if seen.alive:
        async with open_monitor(record.sockets["qmp"], Deadline(task.timeout)) as monitor:
            await _check_idle(monitor)
            images = {item["node-name"]: item["image"] for item in await _blocks(monitor) if _is_part(item, entry)}
            gone = [name for name in entry["disks"] if f"disk-{name}" not in images]
            if gone:
                raise MachineError(f"the running QEMU has no disk {', '.join(gone)}", hint="maqet_vm puts it back")
            images = {name: images[f"disk-{name}"] for name in entry["disks"]}
    else:
        images = {name: await image_info(disk["file"], "qcow2") for name, disk in entry["disks"].items()}
    for name, image in images.items():
        entry["disks"][name]["size"] = image["virtual-size"]
        if task.label in _names(image) and task.label not in record.snapshots:
            hint = f"Give another label, or remove it: qemu-img snapshot -d {task.label} {entry['disks'][name]['file']}"
            raise RefusedError(f"disks[{name}] has a snapshot {task.label!r} that is none of ours", hint=hint)
    _check_space(record, seen, entry)


async def _check_idle(monitor: Monitor) -> None:
    busy = [job for job in await monitor.execute("query-jobs") if job["id"] not in _OURS]
    if busy:
        names = ", ".join(f"{job['id']} ({job['type']}, {job['status']})" for job in busy)
        raise RefusedError(f"a block job works on the machine's disks: {names}", hint="Wait for its end, or cancel it: job-cancel")


def _is_part(item: dict[str, Any], entry: dict[str, Any]) -> bool:
    """
    :raises RefusedError: it is a drive that is none of ours, and would be left out.
    """
    node = item["node-name"]
    if node.startswith("disk-") and node[5:] in entry["disks"]:
        return True
    if not item["ro"] and node not in ("nvram", "firmware"):
        hint = "Only disks that the declaration names can be part of a snapshot"
        raise RefusedError(f"QEMU has a writable drive of its own, {node} ({item['file']})", hint=hint)
    return False


async def _blocks(monitor: Monitor) -> list[dict[str, Any]]:
    return [item["inserted"] for item in await monitor.execute("query-block") if "inserted" in item]


def _names(image: dict[str, Any]) -> set[str]:
    return {item["name"] for item in image.get("snapshots", ())}


async def _tags(file: str) -> set[str]:
    return _names(await image_info(file, "qcow2"))


def _check_space(record: Record, seen: Observed, entry: dict[str, Any]) -> None:
    """For tables in the disks, and memory: what the guest never touched takes no room, and QEMU has no more than that resident."""
    needed = len(entry["disks"]) * _TABLES
    if "origin" in entry:
        resident = int(process_facts(seen.pid or 0).get("VmRSS", "0 kB").split()[0]) << 10
        needed += min(resident, entry["applied"]["memory"] + (entry["applied"].get("max_memory") or 0)) + _MARGIN
    free = free_bytes(record.directory)
    if free < needed:
        what = f"the memory in use and the disks' tables take up to {_mebibytes(needed)}" if "origin" in entry else f"it takes up to {_mebibytes(needed)}"
        hint = "Make room" + (", or leave ram out" if "origin" in entry else "")
        raise RefusedError(f"not enough space in {record.directory}: {what}, and {_mebibytes(free)} are free", hint=hint, needed=needed, free=free)


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


async def find_agent(record: Record) -> str:
    """Where an agent answers.

    :raises UnresponsiveError: none does.
    """
    socket = await _agent_socket(record)
    if not socket:
        raise UnresponsiveError("no guest agent runs in it")
    async with open_agent(socket, Deadline(_AGENT_SECONDS)):
        return socket


async def _agent_socket(record: Record) -> str:
    """Where an agent listens that the guest has running; empty without."""
    socket = record.sockets_of(record.applied or {}).get("agent", "")
    if socket:
        async with open_monitor(record.sockets["qmp"], Deadline(_AGENT_SECONDS)) as monitor:
            channels = {item["label"]: item for item in await monitor.execute("query-chardev")}
        socket = socket if channels.get("agent", {}).get("frontend-open") else ""
    return socket


async def freeze(socket: str) -> None:
    """Hold the guest's file systems still.

    :raises MachineError: they are not.
    """
    async with open_agent(socket, Deadline(_FREEZE_SECONDS)) as agent:
        if not await agent.execute("guest-fsfreeze-freeze"):
            raise MachineError("it has none that can be")


async def pause(work: Work) -> None:
    async with open_monitor(work.record.sockets["qmp"], work.deadline) as monitor:
        await monitor.execute("stop")


async def go_on(work: Work) -> None:
    """The virtual CPUs run again, if we stopped them."""
    async with open_monitor(work.record.sockets["qmp"], work.deadline) as monitor:
        await memory.settle(monitor, work.deadline)
        if (await monitor.execute("query-status"))["status"] in ("paused", "save-vm", "finish-migrate"):
            await monitor.execute("cont")


async def thaw(socket: str) -> None:
    """
    :raises MachineError: the agent does not answer; the record goes on saying that the guest may be frozen.
    """
    try:
        async with open_agent(socket, Deadline(_FREEZE_SECONDS)) as agent:
            if await agent.execute("guest-fsfreeze-status") == "frozen":
                await agent.execute("guest-fsfreeze-thaw")
    except MaqetError as exc:
        hint = "Repeat the task; maqet_vm with state: restarted and force: true gives the guest's state up"
        raise MachineError(f"the guest's file systems may still be frozen: {exc.message}", hint=hint) from exc


async def release(work: Work) -> None:
    """Let go of a guest that a task held still and was cut off."""
    if living_pid(work.record.directory):
        await go_on(work)
        socket = await _agent_socket(work.record)
        if socket:
            await thaw(socket)
    work.record.frozen = False
    await work.save()


async def take(work: Work, label: str, seen: Observed) -> None:
    """All disks at one point, with the memory where it is wanted. The virtual CPUs do not run."""
    record = work.record
    entry = record.snapshots[label]
    make_private(os.path.dirname(memory.snapshot_directory(record.directory, label)))
    make_private(memory.snapshot_directory(record.directory, label))
    if seen.alive:
        await _take_alive(work, label, entry, seen)
    else:
        for disk in entry["disks"].values():
            await _qemu_img("-c", label, disk["file"])
            work.witness("disk taken")
    for name in entry["beside"]:
        _copy(f"{record.directory}/{name}", f"{memory.snapshot_directory(record.directory, label)}/{name}")
        work.witness("copied")


async def _take_alive(work: Work, label: str, entry: dict[str, Any], seen: Observed) -> None:
    record = work.record
    nodes = tuple(f"disk-{name}" for name in entry["disks"])
    async with open_monitor(record.sockets["qmp"], work.deadline) as monitor:
        if "origin" in entry:
            await memory.save(monitor, memory.snapshot_memory(record.directory, label, nodes), work.deadline)
            entry["memory"] = identity_of(monitor.qemu_version, record.accel, entry["applied"])
        elif nodes:
            actions = [{"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": label}} for node in nodes]
            await monitor.execute("transaction", {"actions": actions})
    work.witness("taken")
    if "origin" in entry:
        entry["started"], entry["argv"] = _start_of(record, entry["applied"])


def _start_of(record: Record, applied: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """What starts a QEMU as the running one is now: what came while it ran is on its command line."""
    if not record.started:
        return None, record.argv
    from .._spec.declaration import OPTIONS
    from .render import render

    twin = record.copy()
    render(twin, applied)
    return {**cold(OPTIONS, applied), "memory": record.started["memory"]}, twin.argv


async def drop(work: Work, label: str) -> None:
    """Remove the snapshot, or what there is of it."""
    record = work.record
    entry = record.snapshots[label]
    if entry["complete"]:
        entry = record.snapshots[label] = {**entry, "complete": False}
        await work.save()
    rest = {disk["file"] for disk in entry["disks"].values()}
    if living_pid(record.directory):
        rest -= await _drop_alive(work, label, entry)
    for file in sorted(rest):
        if os.path.exists(file) and label in await _tags(file):
            await _qemu_img("-d", label, file)
            work.witness("disk dropped")
    shutil.rmtree(memory.snapshot_directory(record.directory, label), ignore_errors=True)
    work.witness("directory dropped")
    del record.snapshots[label]
    record.reverting = "" if record.reverting == label else record.reverting
    if not record.snapshots:
        shutil.rmtree(f"{record.directory}/snapshots", ignore_errors=True)
    await work.save()


async def _drop_alive(work: Work, label: str, entry: dict[str, Any]) -> set[str]:
    """The files that QEMU has open: only it may touch them."""
    opened = set()
    async with open_monitor(work.record.sockets["qmp"], work.deadline) as monitor:
        await memory.settle(monitor, work.deadline)
        for item in await _blocks(monitor):
            opened.add(item["file"])
            if item["node-name"][5:] in entry["disks"] and label in _names(item["image"]):
                await monitor.execute("blockdev-snapshot-delete-internal-sync", {"device": item["node-name"], "name": label})
                work.witness("disk dropped")
    return opened


async def check_revert(host: Host, record: Record, label: str) -> None:
    """
    :raises MaqetError: the machine cannot be put back; nothing has been touched.
    """
    entry = record.snapshots[label]
    lost = "state: absent removes the snapshot, which nothing can restore any more"
    for name, disk in entry["disks"].items():
        if not os.path.exists(disk["file"]):
            raise HostError(f"the file of disk {name!r} is gone: {disk['file']}", hint=f"Put it back; {lost}")
        if label not in await _tags(disk["file"]):
            raise HostError(f"the file of disk {name!r} was made anew since snapshot {label!r}: {disk['file']}", hint=lost)
    for name in entry["beside"]:
        copy = f"{memory.snapshot_directory(record.directory, label)}/{name}"
        if not os.path.exists(copy):
            raise HostError(f"a file of the snapshot is gone: {copy}", hint=f"Put it back; {lost}")
    if entry.get("memory"):
        await check_fit(host, memory.snapshot_memory(record.directory, label), entry["memory"], entry["argv"])
        others = {key: name for key, name in host.store.ports().items() if name != record.name}
        for item in forwards(entry["applied"], entry["identity"]):
            other = others.get((item.protocol, item.host or 0))
            if other:
                raise HostError(f"host port {item.host}/{item.protocol}, which it had then, is held by {other!r}", hint="Give that one another port")


async def check_lost(host: Host, record: Record, label: str) -> None:
    """
    :raises RefusedError: a machine that is half put back to the snapshot can still be put back to it.
    """
    try:
        await check_revert(host, record, label)
    except MaqetError:
        return
    raise RefusedError(f"the machine is half put back to snapshot {label!r}", hint="Finish that first: state: restored, or maqet_vm")


async def revert(work: Work, label: str) -> None:
    """Put the disks back while no QEMU has them open; the memory is what the machine goes on from."""
    record = work.record
    entry = record.snapshots[label]
    for name, disk in entry["disks"].items():
        await _qemu_img("-a", label, disk["file"])
        work.witness("disk put back")
        if name in record.made:
            record.made[name] = disk["size"]
    for name in entry["beside"]:
        _copy(f"{memory.snapshot_directory(record.directory, label)}/{name}", f"{record.directory}/{name}")
        work.witness("put back")
    stale = memory.Saved(f"{record.directory}/suspended.memory", "")
    record.suspended, record.memory, record.reverting, record.frozen = False, {}, "", False
    if entry.get("memory"):
        become(record, label)
    await work.save()
    memory.discard(stale)


async def load(work: Work, label: str) -> None:
    """Take the running QEMU back, which is just as it was."""
    record = work.record
    nodes = tuple(f"disk-{name}" for name in record.snapshots[label]["disks"])
    async with open_monitor(record.sockets["qmp"], work.deadline) as monitor:
        await monitor.execute("stop")
        await memory.settle(monitor, work.deadline)
        await memory.load(monitor, memory.snapshot_memory(record.directory, label, nodes), work.deadline)
    work.witness("loaded")
    record.reverting, record.power, record.frozen = "", "paused", False
    await work.save()


async def forget_outside(record: Record) -> None:
    """Remove the machine's snapshots from disks that stay: files that came from outside."""
    for label, entry in record.snapshots.items():
        for disk in entry["disks"].values():
            if not disk["file"].startswith(f"{record.directory}/") and os.path.exists(disk["file"]) and label in await _tags(disk["file"]):
                await _qemu_img("-d", label, disk["file"])


async def _qemu_img(flag: str, label: str, file: str) -> None:
    await qemu_img(Deadline(_QEMU_IMG_SECONDS), "snapshot", "-q", flag, label, file)


def _copy(source: str, target: str) -> None:
    """A file or a directory of files, under its final name when it is whole."""
    temporary = f"{target}.new"
    shutil.rmtree(temporary, ignore_errors=True)
    if os.path.isdir(source):
        shutil.copytree(source, temporary)
        for folder, _folders, files in os.walk(temporary):
            for name in files:
                make_durable(f"{folder}/{name}")
        shutil.rmtree(target, ignore_errors=True)
    else:
        shutil.copy2(source, temporary)
        make_durable(temporary)
    os.replace(temporary, target)
