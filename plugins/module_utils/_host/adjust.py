# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of a running machine: each deed done over QMP or to its unit, and stored."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._errors import MachineError, MaqetError, QmpError
from .._plan.diff import settle
from .._plan.steps import Adjust
from .._spec.declaration import slot_names
from .._spec.live import ASLEEP, Plug, Tell, Unit, Unplug
from .._spec.part import Part, hot_plug, unplug
from .._spec.service import unit_properties
from . import recorder
from .liveness import living_pid
from .paths import write_private
from .qmp import Monitor, open_monitor, tell

if TYPE_CHECKING:
    from .actions import Work

# A guest's own hot-plug driver may wait five seconds for somebody to press the attention button again (PCIe's rule).
_LET_GO_SECONDS = 15.0
# What needs no guest's consent is gone at once.
_AT_ONCE_SECONDS = 0.5
_FREED_SECONDS = 5.0
_PAUSE = 0.02
_REFUSALS = ("DEVICE_UNPLUG_GUEST_ERROR", "MEM_UNPLUG_ERROR")


async def adjust(work: Work, step: Adjust) -> None:
    """Put the changes in force; what QEMU or its guest refuses is noted and waits for the next start."""
    record = work.record
    pid = living_pid(record.directory)
    if record.started is None:
        record.started = record.applied
    elif record.told != pid:
        record.applied = work.found  # a QEMU that came after a crash knows nothing of most that followed
    record.told = pid
    if isinstance(step.deed, (Plug, Tell, Unplug)) and step.changes[0].where[0] == "nics":
        from .wires import rewire

        await rewire(work.host, record, [change.where[1] for change in step.changes], work.deadline)
    try:
        reason = await _do(work, step)
    except QmpError as exc:
        path = ", ".join(change.path for change in step.changes)
        raise MachineError(f"{path}: {exc.message}", hint="QEMU is as it was before this; correct the declaration", path=path, **exc.data) from exc
    if reason:
        work.notes.append(reason)
        record.refused.update({change.path: reason for change in step.changes})
        await work.save()


async def _do(work: Work, step: Adjust) -> str:
    """Why QEMU or its guest refused; empty when neither did."""
    record, deed = work.record, step.deed
    if isinstance(deed, Plug):
        # The place of one that was to go first may still be taken.
        reason = next((record.refused[change.path] for change in step.changes if change.path in record.refused), "")
        return reason or await _plug(work, step, deed)
    if isinstance(deed, Unplug):
        reason = await _unplug(work, step, deed)
        if not reason:
            record.refused = {path: why for path, why in record.refused.items() if path not in {change.path for change in step.changes}}
        return reason
    if isinstance(deed, Unit):
        return await _set_properties(work, step)
    absent = [record.refused[element] for element in (f"{change.path.partition('].')[0]}]" for change in step.changes) if element in record.refused]
    if absent:
        return absent[0]
    return await _tell(work, step, deed)


def _settled(work: Work, step: Adjust) -> dict[str, Any]:
    applied = work.record.applied or {}
    for change in step.changes:
        applied = settle(applied, change)
    return applied


async def _settle(work: Work, step: Adjust) -> None:
    record = work.record
    record.applied = _settled(work, step)
    for change in step.changes:
        record.refused.pop(change.path, None)
    for name, disk in record.applied["disks"].items():
        if name in record.made and disk["size"]:
            record.made[name] = disk["size"]
    await work.save()


async def _tell(work: Work, step: Adjust, deed: Tell) -> str:
    for path, text in deed.files.items():
        write_private(path, text)
    async with open_monitor(work.record.sockets["qmp"], work.deadline) as monitor:
        for command in deed.commands:
            await tell(monitor, command)
            work.witness("told")
    await _settle(work, step)
    return ""


async def _set_properties(work: Work, step: Adjust) -> str:
    # One that is repaired may differ from what was applied only in systemd's eyes: all are said.
    spec = work.record.declared
    await work.host.supervisor(work.record).set_properties(work.record.unit, unit_properties(spec))
    work.witness("properties set")
    await _settle(work, step)
    return ""


async def _plug(work: Work, step: Adjust, deed: Plug) -> str:
    """Why QEMU refused; empty when it did not. An element whose device is there is there."""
    record, before = work.record, work.record.applied
    record.plugged = sorted({*record.plugged, *(part.value["id"] for part in deed.parts if part.kind == "device")})
    await _settle(work, step)
    async with open_monitor(record.sockets["qmp"], work.deadline) as monitor:
        there = await _devices(monitor)
        # A controller may be there already; an element whose own device is there is there.
        lacking = [] if _device_of(deed) in there else [part for part in deed.parts if part.value.get("id") not in there]
        done: list[Part] = []
        try:
            for part in lacking:
                if part.kind != "device":
                    await _drop(work, monitor, part)  # what an earlier attempt left
                await tell(monitor, hot_plug(part))
                done.append(part)
                work.witness("plugged")
        except MaqetError as exc:
            for part in reversed(done):
                with suppress(MaqetError):
                    await tell(monitor, unplug(part))
            record.applied = before
            await work.save()
            if isinstance(exc, QmpError) and "plug" in exc.message:
                return f"QEMU refuses: {exc.message}"
            raise
    return ""


def _device_of(deed: Plug) -> str:
    """The id of the device that uses all the other parts; CPUs are several of a kind, each for itself."""
    devices = [part.value["id"] for part in deed.parts if part.kind == "device"]
    return devices[-1] if devices and len(devices) < len(deed.parts) else ""


async def _unplug(work: Work, step: Adjust, deed: Unplug) -> str:
    """Why the guest refused; empty when it let go. Backends go last."""
    record = work.record
    await work.save()
    async with open_monitor(record.sockets["qmp"], work.deadline) as monitor:
        for command in deed.first:
            with suppress(QmpError):  # an earlier attempt came farther
                await tell(monitor, command)
        for part in reversed(deed.parts):
            if part.kind == "device":
                reason = await _remove_device(work, monitor, part.value["id"])
                if reason:
                    return reason
                if part.value["id"] not in slot_names(record.declared, record.identity.get("pci", ())):  # one that is replaced stays there
                    record.identity.get("slots", {}).pop(part.value["id"], None)
            else:
                try:
                    await _drop(work, monitor, part)
                except QmpError as exc:
                    if "in use" not in exc.message:
                        raise
                    return f"QEMU refuses: {exc.message}"
            work.witness("unplugged")
    await _settle(work, step)
    return ""


async def _drop(work: Work, monitor: Monitor, part: Part) -> None:
    """Take a backend away; QEMU frees the device that used it a moment after it has said that it is gone."""
    deadline = work.deadline.within(_FREED_SECONDS)
    while True:
        try:
            await tell(monitor, unplug(part))
            return
        except QmpError as exc:
            if "in use" not in exc.message or deadline.over:
                raise
        await asyncio.sleep(_PAUSE)


async def _remove_device(work: Work, monitor: Monitor, device: str) -> str:
    directory = work.record.directory
    position = recorder.position(directory)
    running = (await monitor.execute("query-status"))["running"]
    try:
        await tell(monitor, unplug(Part("device", {"id": device})))
    except QmpError as exc:
        if "in the process of unplug" not in exc.message:
            if "plug" in exc.message:
                return f"QEMU refuses: {exc.message}"
            raise
    deadline = work.deadline.within(_LET_GO_SECONDS if running else _AT_ONCE_SECONDS)
    while True:
        if not await _is_there(monitor, device):
            return ""
        events, _position = recorder.read_events(directory, position)
        for event in events:
            if event["event"] in _REFUSALS and device in (event["data"].get("device"), event["data"].get("path")):
                return "the guest refuses to let go of it"
        if deadline.over:
            return f"the guest did not let go of it within {deadline.seconds:g} s" if running else ASLEEP
        await asyncio.sleep(_PAUSE)


async def _is_there(monitor: Monitor, device: str) -> bool:
    if not device.startswith("/"):
        return device in await _devices(monitor)
    parent, name = os.path.split(device)
    return any(item["name"] == name for item in await monitor.execute("qom-list", {"path": parent}))


async def _devices(monitor: Monitor) -> set[str]:
    return {item["name"] for item in await monitor.execute("qom-list", {"path": "/machine/peripheral"})}
