# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of disks: which are to be made, and of what."""

from __future__ import annotations

from collections.abc import Iterator

from .._errors import RefusedError, SpecError
from .._spec.disk_file import DiskFile, disk_files
from .._spec.image import Source, sources
from .record import Record
from .steps import BringImage, DeleteDisk, GrowDisk, MakeDisk, Step
from .wish import Observed, Wish


def unmade(record: Record) -> list[DiskFile]:
    """Disks of ours that have no file yet, or are to have another."""
    return [item for item in disk_files(record.declared, record.site()) if item.owned and (item.disk not in record.made or item.disk in record.anew)]


def source_of(record: Record, item: DiskFile) -> Source | None:
    """Where the disk's image is declared to come from; None for a path, and for one that the cache alone knows."""
    return sources(record.declared).get(item.image or "")


def disk_steps(new: Record, seen: Observed) -> list[Step]:
    """What is done to the disks' files while no QEMU has them open."""
    steps: list[Step] = [DeleteDisk(disk, file) for disk, file in new.doomed.items()]
    todo = {item.disk: item for item in unmade(new)}
    for item in disk_files(new.declared, new.site()):
        if item.disk in todo:
            steps += make(new, item, seen)
        elif item.owned and item.size and item.size > (new.made[item.disk] or 0):
            steps.append(GrowDisk(item))
    return once(steps)


def make(new: Record, item: DiskFile, seen: Observed) -> Iterator[Step]:
    base = seen.bases.get(item.disk)
    source = source_of(new, item)
    if item.image and not base and source:
        yield BringImage(source)
    yield MakeDisk(item, base, anew=item.disk in new.anew)


def once(steps: list[Step]) -> list[Step]:
    """Each image is brought once, whoever wants it."""
    brought: set[str] = set()
    kept = []
    for step in steps:
        if isinstance(step, BringImage):
            if step.source.name in brought:
                continue
            brought.add(step.source.name)
        kept.append(step)
    return kept


def check_recreate(wish: Wish, new: Record, seen: Observed, *, restarts: bool = False) -> None:
    """
    :param restarts: the machine is restarted for another reason.
    :raises MaqetError: a disk that cannot be made anew, or not now. Nothing of it has been stored then.
    """
    own = {item.disk for item in disk_files(new.declared, new.site()) if item.owned}
    for disk in wish.recreate:
        if disk not in own:
            raise SpecError("recreate", f"{disk!r} is no disk of the machine's own", hint=f"It has: {', '.join(sorted(own)) or 'none'}")
    _refuse_in_snapshots("recreate", new.anew, wish, new)
    if seen.status == "suspended" and wish.state in ("started", "paused"):
        raise RefusedError(
            "recreate: the saved memory of the suspended machine is of its disks as they are", hint="state: restarted with force: true gives it up"
        )
    stays = wish.state in ("started", "paused", "present", "suspended")
    if seen.alive and stays and not restarts and not (wish.on_restart_needed == "restart" and wish.state != "suspended"):
        hint = "on_restart_needed: restart, or state: stopped first"
        raise RefusedError(f"recreate: the running machine has {', '.join(new.anew)} in use", hint=hint)


def check_doomed(wish: Wish, old: Record, new: Record) -> None:
    """
    :raises RefusedError: a disk that leaves with its file is part of snapshots, which nothing could restore any more.
    """
    _refuse_in_snapshots("on_remove: delete", sorted({*new.doomed} - {*old.doomed}), wish, new)


def _refuse_in_snapshots(what: str, disks: list[str], wish: Wish, record: Record) -> None:
    kept = [label for label, point in record.snapshots.items() if set(disks) & set(point.get("disks", {}))]
    if kept and not wish.force:
        hint = "Remove them first, or give them up too with force: true"
        raise RefusedError(f"{what}: {', '.join(disks)} is part of the snapshots {', '.join(kept)}", hint=hint)
