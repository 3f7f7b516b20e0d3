# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's memory on disk: saved before QEMU quits, or at a point in time, and loaded by a QEMU like that one.

QEMU's own snapshot jobs write it into a qcow2 file of its own, so machines without a qcow2 disk suspend too and no disk
gains a snapshot. (``migrate`` to a file needs QEMU 8.2, or a program that ``-sandbox spawn=deny`` forbids.)
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, NamedTuple

from .._errors import MachineError, QmpError
from .._plan.record import Record
from .._spec.disk_file import DiskFile
from .deadline import Deadline
from .qemu_img import make_disk
from .qmp import Monitor

_NODE = "maqet-memory"
_PAUSE = 0.05


class Saved(NamedTuple):
    """Where memory is saved: the qcow2 file, the tag in it; nodes: the disks whose state belongs to it under the same tag."""

    file: str
    tag: str
    nodes: tuple[str, ...] = ()


def suspended_memory(record: Record) -> Saved:
    """What a suspended machine goes on from."""
    label = record.memory.get("snapshot")
    # Disks end in .qcow2 or .raw, whatever they are named: this is none of theirs.
    return snapshot_memory(record.directory, label) if label else Saved(f"{record.directory}/suspended.memory", "suspend")


def snapshot_directory(directory: str, label: str) -> str:
    return f"{directory}/snapshots/{label}"


def snapshot_memory(directory: str, label: str, nodes: tuple[str, ...] = ()) -> Saved:
    return Saved(f"{snapshot_directory(directory, label)}/memory", label, nodes)


def discard(saved: Saved) -> None:
    try:
        os.unlink(saved.file)
    except FileNotFoundError:
        return


async def save(monitor: Monitor, saved: Saved, deadline: Deadline) -> None:
    """Stop the virtual CPUs and write the memory."""
    await monitor.execute("stop")
    await settle(monitor, deadline)
    discard(saved)
    await make_disk(DiskFile("memory", saved.file, "qcow2", 1 << 20, None, owned=True))
    await _attach(monitor, saved)
    await _job(monitor, "snapshot-save", saved, deadline)
    await _detach(monitor)


async def load(monitor: Monitor, saved: Saved, deadline: Deadline) -> None:
    """Read the memory back; the virtual CPUs stay stopped."""
    if not any(job["id"] == "snapshot-load" for job in await monitor.execute("query-jobs")):
        await _detach(monitor)
        await _attach(monitor, saved)
    await _job(monitor, "snapshot-load", saved, deadline)
    await _detach(monitor)


async def settle(monitor: Monitor, deadline: Deadline) -> None:
    """See through what a task that was cut off began: its job is nobody's any more."""
    for job in await monitor.execute("query-jobs"):
        if job["id"] in ("snapshot-save", "snapshot-load"):
            await _end(monitor, job["id"], deadline)
    await _detach(monitor)


async def _attach(monitor: Monitor, saved: Saved) -> None:
    file = {"driver": "file", "filename": saved.file}
    await monitor.execute("blockdev-add", {"driver": "qcow2", "node-name": _NODE, "file": file})


async def _detach(monitor: Monitor) -> None:
    if any(node.get("node-name") == _NODE for node in await monitor.execute("query-named-block-nodes", {"flat": True})):
        await monitor.execute("blockdev-del", {"node-name": _NODE})


async def _job(monitor: Monitor, command: str, saved: Saved, deadline: Deadline) -> None:
    """Start the job unless an earlier task did, see it through, and take note of its end."""
    arguments = {"job-id": command, "tag": saved.tag, "vmstate": _NODE, "devices": [_NODE, *saved.nodes]}
    try:
        await monitor.execute(command, arguments)
    except QmpError as exc:
        if "in use" not in exc.message:
            raise
    job = await _end(monitor, command, deadline)
    if "error" in job:
        raise MachineError(f"{command}: {job['error']}", hint="The machine is as it was")


async def _end(monitor: Monitor, name: str, deadline: Deadline) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = next(item for item in await monitor.execute("query-jobs") if item["id"] == name)
        if job["status"] == "concluded":
            break
        if deadline.over:
            raise MachineError(f"{name} did not end within {deadline.seconds:g} s", hint="Give the task a longer timeout")
        await asyncio.sleep(_PAUSE)
    await monitor.execute("job-dismiss", {"id": name})
    return job
