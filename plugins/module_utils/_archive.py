# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine on its way to another host: exported at rest, imported as it was."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from ._engine import Engine
from ._errors import HostError, MaqetError, SpecError
from ._host import transfer
from ._host.actions import Work, undo
from ._host.archive import Reader, Writer, check_room, find_export, open_export, room_told
from ._host.bases import stamp
from ._host.deadline import Deadline
from ._host.observe import observe
from ._host.preflight import preflight
from ._outcome import Outcome, machine_facts
from ._plan.archive import (
    Pack,
    Transfer,
    Unpack,
    imported_bases,
    is_here,
    is_same,
    left_behind,
    notes,
    outline,
    packs,
    plan_export,
    settle,
    unpacks,
)
from ._plan.at_rest import check_at_rest
from ._plan.diff import conceal
from ._plan.plan import Plan
from ._plan.record import Record
from ._plan.steps import Define, Step
from ._plan.wish import Observed, Wish
from ._spec.declaration import OPTIONS
from ._spec.manifest import SECTIONS
from ._spec.name import check_name


@dataclass(repr=False, eq=False)
class Result(Outcome):
    """What became of the machine and of its export. :param archive: the export, as a task returns it."""

    archive: dict[str, Any] = field(default_factory=dict)


def transfer_machine(wish: Transfer, *, check: bool = False, engine: Engine | None = None) -> Result:
    """
    :raises MaqetError: the machine cannot be moved as it is; nothing half is left then.
    """
    result = Result(wish.name)
    task = _Task(wish, engine or Engine(), check, result)

    async def one(outcome: Outcome) -> None:
        await task.run()

    error = asyncio.run(task.engine.each([wish.name], one))[0].error
    if error:
        raise error
    result.changed = bool(result.actions)
    return result


class _Task:
    def __init__(self, wish: Transfer, engine: Engine, check: bool, result: Result) -> None:
        self.wish = wish._replace(path=os.path.realpath(wish.path) if wish.path.startswith("/") else wish.path)
        self.engine, self.host, self.check, self.result = engine, engine.host, check, result
        self.deadline = Deadline(wish.timeout)
        self.host.keeps = not check

    async def run(self) -> None:
        check_name(self.wish.name)
        parent = os.path.dirname(self.wish.path)
        if not self.wish.path.startswith("/"):
            raise SpecError("path", f"{self.wish.path!r} is no absolute path", hint="Such as /srv/exports/web")
        if not os.path.isdir(parent):
            raise HostError(f"path: the directory {parent} does not exist", hint="Make it first")
        if self.wish.state == "imported":
            with closing(open_export(self.wish.path)) as reader:
                await self._import(reader)
        else:
            if not self.host.store.load([self.wish.name]):
                raise SpecError("name", f"there is no machine {self.wish.name!r}", hint="maqet_vm_info lists them")
            await self._export()

    async def _export(self) -> None:
        async with self.engine.hold(self.wish.name, self.deadline) as record:
            if record is None:
                raise SpecError("name", f"there is no machine {self.wish.name!r} any more")
            seen = await observe(self.host, record, self.deadline)
            check_at_rest(record, seen)
            look = await transfer.look(self.host, record, self.wish, self.deadline)
            writer = Writer(self.wish.path, self.wish.name)
            if not self.check:
                writer.repair()
            there = self._there()
            new, files = outline(self.wish, record, look), packs(self.wish, record, look)
            steps = plan_export(self.wish, files, new, there)
            self.result.vm, self.result.warnings = machine_facts(record, seen), left_behind(record)
            self.result.archive = self._facts(there or {}) if there and is_same(there, new) else self._foreseen(new, files)
            if steps:
                self._describe(steps, self._point(there), self._point(new))
                await self._write(writer, files, new, look.needed)

    def _there(self) -> dict[str, Any] | None:
        reader = find_export(self.wish.path)
        if reader:
            reader.close()
        return reader.manifest if reader else None

    async def _write(self, writer: Writer, files: list[Pack], manifest: dict[str, Any], needed: int) -> None:
        parent = os.path.dirname(self.wish.path)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise HostError(f"path: {parent} may not be written by this user", hint="Check its owner and its mode")
        if not self.wish.compress:  # nobody knows how much that takes
            check_room({parent: needed})
        if self.check:
            return
        with room_told(parent, needed):
            try:
                writer.begin()
                self.engine.witness("begun")
                manifest.update({section: [] for section in SECTIONS}, exported=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
                packed: dict[str, str] = {}
                for step in files:
                    manifest[step.section].append(await transfer.pack(writer, step, packed, self.deadline))
                    self.engine.witness("exported")
                writer.end(manifest, self.deadline)
                self.engine.witness("written")
                writer.publish(self.engine.witness)
            except BaseException:
                writer.repair()
                raise
        self.result.archive = self._facts(manifest)

    async def _import(self, reader: Reader) -> None:
        if self.check and not self.host.paths.in_use:
            await self._import_held(reader, None)
            return
        async with self.engine.hold(self.wish.name, self.deadline) as old:
            await self._import_held(reader, old)

    async def _import_held(self, reader: Reader, old: Record | None) -> None:
        manifest, result = reader.manifest, self.result
        result.archive = self._facts(manifest)
        if is_here(self.wish, manifest, old, self.host.store.load()):
            result.vm = machine_facts(old, await observe(self.host, old, self.deadline))
            return
        new = await transfer.prepare(self.host, self.wish, manifest, keep=not self.check)
        steps = unpacks(new, manifest, self.host.images.root)
        transfer.check_place(new, old, steps, self.host.images.root)
        new.bases = imported_bases(new, manifest, self.host.images.root)
        result.vm = machine_facts(new, Observed("stopped"))
        result.warnings = [*notes(manifest, new), *await self._foresee_start(new)]
        self._describe((Define(new=True), *steps), {}, {**conceal(OPTIONS, new.raw), "state": "stopped"})
        if not self.check:
            await self._make(reader, old, new, steps)

    async def _make(self, reader: Reader, old: Record | None, new: Record, steps: list[Unpack]) -> None:
        if old:  # what a task that was cut off left
            await undo(self._work(old))
        work = self._work(new)
        with room_told(self.host.paths.data, reader.size):
            try:
                await work.save()
                for step in steps:
                    await transfer.unpack(reader, step, work, self.deadline)
                settle(new, steps)
                for base in new.bases.values():
                    base["stamp"] = stamp(base["file"])
                await work.save()
            except (MaqetError, OSError):
                # What a full disk keeps us from removing goes first in the next import.
                with suppress(MaqetError, OSError):
                    await undo(work)
                raise

    def _work(self, record: Record) -> Work:
        return Work(self.host, Wish(record.name, timeout=self.wish.timeout), record, self.engine.witness)

    async def _foresee_start(self, new: Record) -> list[str]:
        """Warnings: data that arrived is worth more than a host that is ready."""
        try:
            return await preflight(self.host, Plan((Define(new=True),)), new, Observed("absent"))
        except MaqetError as exc:
            return [f"it cannot be started here yet: {exc}"]

    def _describe(self, steps: tuple[Step, ...], before: dict[str, Any], after: dict[str, Any]) -> None:
        self.result.actions = [{"action": step.action, "summary": step.summary(), **step.details()} for step in steps]
        self.result.before, self.result.after = before, after

    @staticmethod
    def _point(manifest: dict[str, Any] | None) -> dict[str, Any]:
        """What an export is of, for the diff."""
        if not manifest:
            return {}
        times = {name: f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seen[1] / 1e9))}, {seen[0]} bytes" for name, seen in manifest["point"].items()}
        return {"machine": manifest["name"], "uuid": manifest["identity"]["uuid"], "base": manifest["base"], "compress": manifest["compress"], "files": times}

    def _foreseen(self, new: dict[str, Any], files: list[Pack]) -> dict[str, Any]:
        sections = {section: [{"file": None, "bytes": None, "sha256": None, **step.entry} for step in files if step.section == section] for section in SECTIONS}
        return self._facts({**new, **sections, "exported": None})

    def _facts(self, manifest: dict[str, Any]) -> dict[str, Any]:
        sizes = [entry["bytes"] for section in SECTIONS for entry in manifest[section]]
        return {
            "path": self.wish.path,
            "size": None if None in sizes else sum(sizes),
            "machine": manifest["name"],
            "uuid": manifest["identity"]["uuid"],
            "exported": manifest["exported"],
            "qemu_version": manifest["qemu"],
            "base": manifest["base"],
            "disks": [{key: entry.get(key) for key in ("name", "file", "virtual_size", "bytes", "base")} for entry in manifest["disks"]],
            "images": [{key: entry[key] for key in ("image", "file", "bytes")} for entry in manifest["bases"]],
            "snapshots_left": manifest["snapshots"],
        }
