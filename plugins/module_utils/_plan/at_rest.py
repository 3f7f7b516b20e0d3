# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine whose disks nobody writes: what can be read of it, to be taken elsewhere."""

from __future__ import annotations

from .._errors import MachineError, RefusedError, SpecError
from .._spec.disk_file import DiskFile, disk_files
from .record import Record
from .wish import Observed


def check_at_rest(record: Record, seen: Observed) -> None:
    """
    :raises MaqetError: the machine's files are in use, or are no machine.
    """
    if record.imported.get("whole") is False:
        raise RefusedError("its own import was cut off", hint="Run that import again")
    if record.reverting:
        raise RefusedError(f"it is being set back to the snapshot {record.reverting!r}", hint="Run that task again first")
    if seen.status == "suspended":
        raise RefusedError("the machine is suspended: its saved memory fits this host alone", hint="state: started, then stopped; or stopped with force: true")
    if seen.alive or seen.status != "stopped":
        raise RefusedError(f"the machine is {seen.status}: its disks are in use", hint="maqet_vm with state: stopped first", status=seen.status)
    if seen.missing:
        raise MachineError(f"a file of it is gone: {', '.join(seen.missing)}", hint="Put it back first")


def travelling(record: Record) -> list[DiskFile]:
    """The disks whose content is exported: the machine's own, and files that it may write."""
    disks = record.declared["disks"]
    return [
        item
        for item in disk_files(record.declared, record.site())
        if (
            item.disk in record.made and item.disk not in record.anew
            if item.owned
            else disks[item.disk]["device"] == "disk" and not disks[item.disk]["readonly"]
        )
    ]


def disk_to_take(record: Record, seen: Observed, disk: str) -> DiskFile:
    """The disk with that name.

    :raises MaqetError: there is none, or it is in use.
    """
    check_at_rest(record, seen)
    items = {item.disk: item for item in travelling(record)}
    if disk not in items:
        raise SpecError("disk", f"the machine {record.name!r} has no disk {disk!r} with a file of its own", hint=f"It has: {', '.join(items) or 'none'}")
    return items[disk]
