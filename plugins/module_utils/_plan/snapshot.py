# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Points in time of machines: what a task wishes, what it takes, and what stands in the way."""

from __future__ import annotations

import copy
import re
from datetime import datetime, timezone
from typing import Any, NamedTuple

from .._errors import RefusedError, SpecError
from .._spec import slots
from .._spec.declaration import slot_names
from .._spec.disk_file import DiskFile, disk_files
from .._spec.firmware import nvram_name
from .record import Record
from .wish import Observed

# One of digits alone QEMU takes for the number of a snapshot.
_LABEL = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_UNLOADED = ("prelaunch", "restore-vm")


class SnapshotTask(NamedTuple):
    """
    :param label: the snapshot; keep: how many stay whose label begins with prefix; timeout: seconds for each machine's steps.
    """

    label: str
    state: str = "present"
    ram: bool = False
    keep: int | None = None
    prefix: str = ""
    quiesce: str = "auto"
    timeout: float = 120


class SnapshotPlan(NamedTuple):
    """What is done to one machine, in this order.

    :param drop: labels that go first, half made before; take: the snapshot is taken; revert: the machine is put back to it.
    :param expired: labels that go at last.
    :param inside: its QEMU is just as it was and takes the memory back; status: the machine's afterwards; warnings: for the user.
    """

    drop: tuple[str, ...] = ()
    take: bool = False
    revert: bool = False
    expired: tuple[str, ...] = ()
    inside: bool = False
    status: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.drop or self.take or self.revert or self.expired)


def check_task(task: SnapshotTask) -> None:
    """
    :raises SpecError: an option that cannot be meant.
    """
    if not _LABEL.match(task.label):
        hint = "1 to 63 letters, digits, '_', '.' or '-', the first a letter or digit, and not digits alone"
        raise SpecError("snapshot", f"{task.label!r} is no label", hint=hint)
    if task.keep is not None and (task.keep < 1 or not task.prefix):
        raise SpecError("keep", f"{task.keep} needs a prefix and is at least 1", hint="Such as prefix: nightly-, keep: 7")
    if task.prefix and not task.label.startswith(task.prefix):
        raise SpecError("snapshot", f"{task.label!r} does not begin with prefix {task.prefix!r}", hint="keep counts the labels that do")
    if task.ram and task.quiesce == "yes":
        raise SpecError("quiesce", "'yes' does not go with ram: true", hint="The saved memory holds what the guest has not written yet: leave quiesce out")


def plan_snapshot(task: SnapshotTask, record: Record, seen: Observed) -> SnapshotPlan:
    """
    :raises MaqetError: nothing has been done then.
    """
    if seen.status == "unresponsive":
        raise RefusedError(f"unresponsive: its monitor does not answer: {seen.why}", hint="maqet_vm with state: restarted, force: true starts it anew")
    if record.imported.get("whole") is False:
        raise RefusedError("its import was cut off", hint="Run the import again")
    # Whether the snapshot is lost is for who can look.
    gives_up = task.state == "absent" and task.label == record.reverting
    if record.reverting and task.state != "restored" and not gives_up:
        hint = "Repeat that, or start the machine with maqet_vm, which finishes it"
        raise RefusedError(f"the machine is half put back to snapshot {record.reverting!r}", hint=hint)
    if record.anew and task.state != "absent":
        raise RefusedError(f"disks wait to be made anew: {', '.join(record.anew)}", hint="maqet_vm does so at the machine's next start")
    return {"present": _present, "absent": _absent, "restored": _restored}[task.state](task, record, seen)


def _present(task: SnapshotTask, record: Record, seen: Observed) -> SnapshotPlan:
    known = record.snapshots.get(task.label, {})
    expired = _expired(task, record)
    if known.get("complete"):
        if known["ram"] != task.ram:
            raise RefusedError(
                f"snapshot {task.label!r} is there {'with' if known['ram'] else 'without'} memory", hint="Give another label, or state: absent first"
            )
        return SnapshotPlan(expired=expired)
    if seen.status == "suspended" or (record.suspended and seen.status in _UNLOADED):
        raise RefusedError("the machine is suspended: its memory belongs to its disks", hint="maqet_vm with state: paused first, then ram: true")
    if task.quiesce == "yes" and seen.alive and seen.status != "running":
        raise RefusedError(f"a guest that is {seen.status} cannot freeze its file systems", hint="maqet_vm with state: started first, or quiesce: auto")
    snapshot_disks(record, seen)
    return SnapshotPlan(drop=(task.label,) if known else (), take=True, expired=expired)


def _expired(task: SnapshotTask, record: Record) -> tuple[str, ...]:
    if task.keep is None:
        return ()
    whole = [
        label
        for label, item in record.snapshots.items()
        if item["complete"] and label.startswith(task.prefix) and label not in (task.label, record.memory.get("snapshot"))
    ]
    oldest_first = sorted(whole, key=lambda label: record.snapshots[label]["created"])
    return tuple(oldest_first[: max(0, len(whole) - task.keep + 1)])


def _absent(task: SnapshotTask, record: Record, seen: Observed) -> SnapshotPlan:
    if task.label not in record.snapshots:
        return SnapshotPlan()
    if record.suspended and record.memory.get("snapshot") == task.label:
        raise RefusedError("the machine is suspended in that very snapshot", hint="maqet_vm with state: started or paused first")
    return SnapshotPlan(drop=(task.label,))


def _restored(task: SnapshotTask, record: Record, seen: Observed) -> SnapshotPlan:
    known = record.snapshots.get(task.label)
    if known is None:
        raise SpecError("snapshot", f"there is no {task.label!r}", hint=f"There are: {', '.join(record.snapshots) or 'none'}")
    if not known["complete"]:
        raise RefusedError(f"snapshot {task.label!r} was never completed", hint="state: present makes it anew, state: absent removes what there is")
    _refuse_foreign(task.label, record, known)
    added = [name for name in record.declared["disks"] if name not in known["disks"] and name in record.made]
    warnings = tuple(f"disk {name} has come since snapshot {task.label!r} and stays as it is" for name in added)
    status = known["status"] if known["ram"] else known.get("back") or _status_before(record, seen)
    return SnapshotPlan(revert=True, inside=is_alike(record, seen, known), status=status, warnings=warnings)


def _refuse_foreign(label: str, record: Record, known: dict[str, Any]) -> None:
    """A file from outside that left the declaration is somebody else's now, with what was written to it since."""
    declared = {item.file for item in disk_files(record.declared, record.site())}
    for name, disk in known["disks"].items():
        if not disk["file"].startswith(f"{record.directory}/") and disk["file"] not in declared:
            hint = f"Declare it again (disks[{name}].path), or give the snapshot up: state: absent"
            raise RefusedError(f"disk {name!r} was {disk['file']} at snapshot {label!r}, which is no disk of the machine any more", hint=hint)


def _status_before(record: Record, seen: Observed) -> str:
    """What the machine was, so that it is that again."""
    if record.suspended or not seen.alive:
        return "stopped"
    return "paused" if seen.status in ("paused", *_UNLOADED) else "running"


def is_alike(record: Record, seen: Observed, known: dict[str, Any]) -> bool:
    """Whether the QEMU that runs is just as the one that the snapshot's memory was saved from."""
    if not known.get("memory") or not seen.alive or record.reverting or record.suspended or seen.strange:
        return False
    # It was told more since its start, or it was started as that one had become.
    origins = ([known["started"], known["argv"]], known["origin"])
    same = [record.started, record.argv] in origins and record.accel == known["accel"]
    return same and bool(seen.spec == known["applied"]) and known["memory"]["qemu"] == seen.qemu_version


def begin(task: SnapshotTask, record: Record, seen: Observed) -> dict[str, Any]:
    """A snapshot's entry before it is taken."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    status = "stopped" if not seen.alive else "running" if seen.status == "running" else "paused"
    spec = in_force(record, seen)
    beside = [nvram_name(spec)] if nvram_name(spec) else []
    entry = {
        "created": now,
        "ram": task.ram,
        "status": status,
        "quiesced": False,
        "complete": False,
        "disks": {item.disk: {"file": item.file, "size": None} for item in snapshot_disks(record, seen)},
        "beside": [*beside, *(["tpm"] if spec.get("tpm") else [])],
    }
    if task.ram and seen.alive:
        entry.update(applied=spec, accel=record.accel, plugged=list(record.plugged), identity=copy.deepcopy(record.identity))
        entry.update(origin=[record.started, record.argv])
    return entry


def become(record: Record, label: str) -> None:
    """Make the record that of the machine whose memory the snapshot has: suspended, to go on as it was then."""
    item = record.snapshots[label]
    now, then = record.identity, item["identity"]
    merged = {key: {**now.get(key, {}), **then.get(key, {})} for key in ("macs", "ports", "formats", "firmware")}
    pci = sorted({*now.get("pci", ()), *then.get("pci", ())})
    seats = slots.allot(slot_names(record.declared, pci), then.get("slots", {})) if then.get("slots") else now.get("slots", {})
    record.identity = {**then, **now, **merged, "pci": pci, "slots": seats, "pcie_ports": then.get("pcie_ports", 0)}
    record.applied, record.started, record.argv = item["applied"], item["started"], list(item["argv"])
    record.plugged, record.accel, record.refused = list(item["plugged"]), item["accel"], {}
    record.suspended, record.power, record.memory = True, "suspended", {**item["memory"], "snapshot": label}


def in_force(record: Record, seen: Observed) -> dict[str, Any]:
    return (seen.spec or record.applied_to(seen.pid)) if seen.alive else record.declared


def snapshot_disks(record: Record, seen: Observed) -> list[DiskFile]:
    """The disks that belong to a point in time: all that can be written.

    :raises RefusedError: one of them cannot hold a snapshot.
    """
    spec = in_force(record, seen)
    chosen = []
    for item in disk_files(spec, record.site()):
        if spec["disks"][item.disk]["readonly"] or (item.owned and item.disk not in record.made):
            continue
        if item.format != "qcow2":
            hint = "Give the machine a qcow2 disk instead (qemu-img convert -O qcow2), or make this one readonly"
            raise RefusedError(f"disks[{item.disk}] is {item.format}, which holds no snapshots: {item.file}", hint=hint, path=f"disks[{item.disk}]")
        chosen.append(item)
    return chosen


def shown(record: Record) -> list[dict[str, Any]]:
    """A machine's snapshots for people, oldest first."""
    keys = ("created", "ram", "status", "quiesced", "complete")
    items = sorted(record.snapshots.items(), key=lambda entry: str(entry[1]["created"]))
    return [{"name": label, **{key: item[key] for key in keys}, "disks": sorted(item["disks"])} for label, item in items]
