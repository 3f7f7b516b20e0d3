# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each step is done. Every one writes the record before its side effect and may be repeated after any cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from .._errors import MachineError, MaqetError
from .._plan import steps as step_types
from .._plan.diff import settle_untold
from .._plan.record import Record
from .._plan.wish import Observed, Wish
from .._spec.declaration import OPTIONS, helpers
from .._spec.helper import Helper
from .._spec.network import descriptors
from .._spec.option import cold
from .._spec.service import unit_properties
from . import launch, memory, qemu_img, wires
from .adjust import adjust
from .deadline import Deadline
from .host import Host
from .liveness import living_pid
from .private import write_files
from .qmp import open_monitor, tell
from .render import render, render_anew
from .saved_by import identity_of
from .supervisor import Service

# An image may be large, and its server slow.
_FETCH_SECONDS = 1800.0


@dataclass
class Work:
    """One machine in hand.

    :param found: the normal form that was in force at first, or since a start.
    :param notes: how a step went, for its entry in ``actions``; seen: the machine after it, where it looked itself; rest: the steps
        that follow; saved: something has been written.
    :param witness: told of each step boundary and of each write; tests stop us there.
    """

    host: Host
    wish: Wish
    record: Record
    witness: Callable[[str], None]
    found: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    seen: Observed | None = None
    rest: tuple[step_types.Step, ...] = ()
    saved: bool = False

    @property
    def deadline(self) -> Deadline:
        """A step's own: a slow stop leaves the start its time."""
        return Deadline(self.wish.timeout)

    def next_is(self, *kinds: type[step_types.Step]) -> bool:
        return bool(self.rest) and isinstance(self.rest[0], kinds)

    async def save(self) -> None:
        self.witness("before save")
        await self.host.keeper.save(self.record)
        self.saved = True
        self.witness("after save")


async def define(work: Work, step: step_types.Define) -> None:
    work.record.applied = work.record.applied and settle_untold(OPTIONS, work.record.applied, work.record.declared)
    # These write the record themselves, before anything happens.
    if not work.next_is(step_types.Start, step_types.MakeDisk):
        await work.save()


async def fetch_image(work: Work, step: step_types.BringImage) -> None:
    await work.host.images.bring(step.source, Deadline(max(_FETCH_SECONDS, work.wish.timeout)), work.witness)


async def make_disk(work: Work, step: step_types.MakeDisk) -> None:
    if not step.disk.image:
        await _make_disk(work, step, None)
        return
    from .bases import settle_base

    async with work.host.images.used():  # until the record says that the disk lies on it
        await _make_disk(work, step, settle_base(work.host.images, step, work.record))


async def _make_disk(work: Work, step: step_types.MakeDisk, base: dict[str, Any] | None) -> None:
    disk, record = step.disk, work.record
    pinned = {disk.disk: base} if base and not disk.copy else {}
    # What is to be made anew lies on its old base until it is.
    settled = step.anew or all(record.bases.get(name) == value for name, value in pinned.items())
    if not settled or not work.saved:
        record.bases.update({} if step.anew else pinned)
        await work.save()
    size, kept = disk.size, os.path.exists(disk.file) and not step.anew
    await qemu_img.make_disk(disk, base, anew=step.anew)
    if size and kept:  # from before, under the same name
        there = (await qemu_img.image_info(disk.file, disk.format))["virtual-size"]
        if there < size:
            await qemu_img.grow_disk(disk)
        size = max(size, there)
    work.witness("disk made")
    record.made[disk.disk], record.anew = size, [name for name in record.anew if name != disk.disk]
    record.bases.pop(disk.disk, None)
    record.bases.update(pinned)
    if not work.next_is(step_types.Start):
        await work.save()


async def grow_disk(work: Work, step: step_types.GrowDisk) -> None:
    await qemu_img.grow_disk(step.disk)
    work.witness("disk grown")
    work.record.made[step.disk.disk] = step.disk.size
    await work.save()


async def delete_disk(work: Work, step: step_types.DeleteDisk) -> None:
    if step.disk in work.record.refused_disks and living_pid(work.record.directory):
        work.notes.append("it stays until the guest lets go of it")
        return
    if os.path.exists(step.file):
        os.unlink(step.file)
    work.witness("disk deleted")
    work.record.doomed.pop(step.disk, None)
    work.record.bases.pop(step.disk, None)
    await work.save()


async def make_nvram(work: Work, step: step_types.MakeNvram) -> None:
    from .firmware import make_nvram as make

    make(step.template, step.file)
    work.witness("NVRAM made")
    work.record.made[step.file] = None
    await work.save()


async def start(work: Work, step: step_types.Start) -> None:
    record = work.record
    await wires.connect(work.host, record, as_before=step.as_before, deadline=work.deadline)
    if not step.as_before:
        render_anew(record)
    elif record.started and record.applied and not record.memory.get("snapshot"):
        # The saved memory is of the machine that it had become, with the memory that it was started with.
        render(record, record.applied)
        record.started = {**cold(OPTIONS, record.applied), "memory": record.started["memory"]}
    record.applied, record.told = cold(OPTIONS, record.applied or {}), None
    work.found = record.applied
    record.power = "paused" if step.paused else "running"
    await work.save()
    service = Service(
        machine=record.name,
        unit=record.unit,
        directory=record.directory,
        argv=record.argv,
        paused=step.paused,
        properties=unit_properties(record.applied or record.declared),
        qmp_socket=record.sockets["qmp"],
        stop_seconds=work.wish.shutdown_timeout,
        helpers=_helpers(record),
        joins=_joins(record),
    )
    write_files(record, record.applied or record.declared, as_before=step.as_before)
    work.seen = await launch.launch(record, work.host.supervisor(record), service, work.deadline, work.host.gate)
    record.qemu_version = work.seen.qemu_version


def _helpers(record: Record) -> tuple[Helper, ...]:
    wanted = helpers(record.applied or record.declared, record.site())
    if not wanted:
        return ()
    from .helpers import find_helper

    return tuple(find_helper(helper) for helper in wanted)


def _joins(record: Record) -> tuple[str, ...]:
    wanted = descriptors(record.applied or record.declared)
    if not wanted:
        return ()
    from .needs import find_bridge_helper

    return (find_bridge_helper(), *wanted)


async def stop(work: Work, step: step_types.Stop) -> None:
    seconds = Deadline(work.wish.shutdown_timeout)
    work.notes.append(await launch.end(work.record, work.host.supervisor(work.record), force=step.force, shutdown=seconds))
    work.record.power, work.record.refused, work.record.frozen = "stopped", {}, False
    await work.save()


async def suspend(work: Work, step: step_types.Suspend) -> None:
    record = work.record
    async with open_monitor(record.sockets["qmp"], work.deadline) as monitor:
        await memory.save(monitor, memory.suspended_memory(record), work.deadline)
        record.memory = identity_of(monitor.qemu_version, record.accel, record.applied or {})
    work.witness("memory saved")
    record.suspended, record.power = True, "suspended"
    await work.save()
    await launch.end(record, work.host.supervisor(record), force=True, shutdown=work.deadline)


async def restore(work: Work, step: step_types.Restore) -> None:
    record = work.record
    try:
        async with open_monitor(record.sockets["qmp"], work.deadline) as monitor:
            await memory.load(monitor, memory.suspended_memory(record), work.deadline)
    except MaqetError as exc:
        await launch.end(record, work.host.supervisor(record), force=True, shutdown=work.deadline)
        raise MachineError(f"the saved memory cannot be loaded: {exc.message}", hint="It stays as it is; state: stopped with force: true gives it up") from exc
    work.witness("memory loaded")
    await discard(work, step_types.Discard())


async def discard(work: Work, step: step_types.Discard) -> None:
    saved = memory.suspended_memory(work.record)
    kept = "snapshot" in work.record.memory
    work.record.suspended, work.record.memory = False, {}
    await work.save()
    if not kept:
        memory.discard(saved)


async def revert(work: Work, step: step_types.Revert) -> None:
    from .snapshot import revert as put_back

    work.record.snapshots[step.label] = {key: value for key, value in work.record.snapshots[step.label].items() if key != "back"}
    await put_back(work, step.label)


async def release(work: Work, step: step_types.Release) -> None:
    from .snapshot import release as let_go

    await let_go(work)


async def tell_status(work: Work, step: step_types.Tell) -> None:
    async with open_monitor(work.record.sockets["qmp"], work.deadline) as monitor:
        for command in step.commands:
            await tell(monitor, command)
            work.witness("told")
        if step.again:
            from .trouble import await_progress

            await await_progress(monitor)
    work.record.power = "paused" if step.what == "pause" else "running"
    await work.save()


async def remove(work: Work, step: step_types.Remove) -> None:
    record = work.record
    await launch.halt(record, work.host.supervisor(record))
    work.witness("sockets removed")
    await wires.disconnect(work.host, record, work.deadline)
    if record.snapshots:
        from .snapshot import forget_outside

        await forget_outside(record)
    if os.path.isdir(record.directory):
        # machine.json goes last: until then a rerun finds the machine by it even without the state DB.
        for entry in sorted(os.listdir(record.directory), key=lambda name: name == "machine.json"):
            path = f"{record.directory}/{entry}"
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
            work.witness("file removed")
        os.rmdir(record.directory)
    work.witness("directory removed")
    work.host.store.forget(record.name)
    work.seen = Observed("absent")
    work.witness("after forget")


async def undo(work: Work) -> None:
    """Remove a machine that never ran."""
    await remove(work, step_types.Remove(work.record.directory))


ACTIONS: dict[type[step_types.Step], Callable[[Work, Any], Awaitable[None]]] = {
    step_types.Define: define,
    step_types.BringImage: fetch_image,
    step_types.MakeDisk: make_disk,
    step_types.GrowDisk: grow_disk,
    step_types.DeleteDisk: delete_disk,
    step_types.MakeNvram: make_nvram,
    step_types.Start: start,
    step_types.Stop: stop,
    step_types.Suspend: suspend,
    step_types.Restore: restore,
    step_types.Discard: discard,
    step_types.Revert: revert,
    step_types.Release: release,
    step_types.Tell: tell_status,
    step_types.Adjust: adjust,
    step_types.Remove: remove,
}
