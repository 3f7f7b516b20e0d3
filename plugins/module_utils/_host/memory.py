# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's memory on disk: saved before QEMU quits, loaded by the next one.

QEMU's own snapshot jobs write it into a qcow2 file of its own, so machines without a qcow2 disk suspend too and no disk
gains a snapshot. (``migrate`` to a file needs QEMU 8.2, or a program that ``-sandbox spawn=deny`` forbids.)
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from .._errors import MachineError, QmpError
from .._spec.disk_file import DiskFile
from .deadline import Deadline
from .qemu_img import make_disk
from .qmp import Monitor

_NODE = "maqet-memory"
_TAG = "suspend"
_PAUSE = 0.05


def memory_file(directory: str) -> str:
    # Disks end in .qcow2 or .raw, whatever they are named: this is none of theirs.
    return f"{directory}/suspended.memory"


def discard(directory: str) -> None:
    try:
        os.unlink(memory_file(directory))
    except FileNotFoundError:
        return


async def save(monitor: Monitor, directory: str, deadline: Deadline) -> None:
    """Stop the virtual CPUs and write the memory."""
    await monitor.execute("stop")
    await _detach(monitor)
    discard(directory)
    await make_disk(DiskFile("memory", memory_file(directory), "qcow2", 1 << 20, None, owned=True))
    await _attach(monitor, directory)
    await _job(monitor, "snapshot-save", deadline)
    await _detach(monitor)


async def load(monitor: Monitor, directory: str, deadline: Deadline) -> None:
    """Read the memory back; the virtual CPUs stay stopped."""
    if not any(job["id"] == "snapshot-load" for job in await monitor.execute("query-jobs")):
        await _detach(monitor)
        await _attach(monitor, directory)
    await _job(monitor, "snapshot-load", deadline)
    await _detach(monitor)


async def _attach(monitor: Monitor, directory: str) -> None:
    file = {"driver": "file", "filename": memory_file(directory)}
    await monitor.execute("blockdev-add", {"driver": "qcow2", "node-name": _NODE, "file": file})


async def _detach(monitor: Monitor) -> None:
    if any(node.get("node-name") == _NODE for node in await monitor.execute("query-named-block-nodes", {"flat": True})):
        await monitor.execute("blockdev-del", {"node-name": _NODE})


async def _job(monitor: Monitor, command: str, deadline: Deadline) -> None:
    """Start the job unless an earlier task did, see it through, and take note of its end."""
    arguments = {"job-id": command, "tag": _TAG, "vmstate": _NODE, "devices": [_NODE]}
    try:
        await monitor.execute(command, arguments)
    except QmpError as exc:
        if "in use" not in exc.message:
            raise
    while True:
        job: dict[str, Any] = next(item for item in await monitor.execute("query-jobs") if item["id"] == command)
        if job["status"] == "concluded":
            break
        if deadline.over:
            raise MachineError(f"{command} did not end within {deadline.seconds:g} s", hint="Give the task a longer timeout")
        await asyncio.sleep(_PAUSE)
    await monitor.execute("job-dismiss", {"id": command})
    if "error" in job:
        raise MachineError(f"{command}: {job['error']}", hint="The machine is as it was")
