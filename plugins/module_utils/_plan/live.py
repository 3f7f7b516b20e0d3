# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the running machine lacks, and which of it can be done while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .._spec.declaration import OPTIONS
from .._spec.disk_file import disk_file
from .._spec.live import ASLEEP, Plug, Unplug, Wait
from .._spec.option import NEXT_START, cold
from .._spec.site import Site
from .diff import Change, compare
from .disks import make, once
from .record import Record
from .steps import Adjust, DeleteDisk, Step
from .wish import Observed


class Lack(NamedTuple):
    """
    :param steps: what is done now, in order.
    :param pending: paths that wait for the next start; reasons: why, of those that are done live where it is possible.
    """

    steps: list[Step]
    pending: tuple[str, ...]
    reasons: tuple[str, ...]


def to_apply(new: Record, seen: Observed) -> Lack:
    """From what is in force to what is declared."""
    site = new.site()._replace(facts=seen.facts, running=seen.spec or {}, started=new.started or new.applied)
    if new.told != seen.pid:
        site = site._replace(plugged=())
    adjusts: list[Adjust] = []
    pending: list[str] = []
    reasons: list[str] = []
    if seen.strange:
        pending.append("argv")
        reasons.append(f"argv: {seen.strange}")
    waiting: set[tuple[str, ...]] = set()
    for change in _changes(new, seen.spec or {}):
        if change.where[:2] in waiting:
            continue  # what an element is told comes with the element
        known = _why_not(change, new, seen)
        deeds = [Wait(known)] if known is not None else change.option.live(change, site) if change.option.live else []
        reason = next((deed.reason for deed in deeds if isinstance(deed, Wait)), None)
        if reason is None:
            adjusts += _adjusts(change, deeds)
            continue
        waiting.add(change.where)
        if reason:
            reasons.append(f"{change.path}: {reason}")
        if not _is_lasting(change):
            pending.append(change.path)
    return Lack(once([*_with_files(_ordered(adjusts), new, seen, site)]), tuple(dict.fromkeys(pending)), tuple(reasons))


def after_start(new: Record, now: dict[str, Any]) -> list[Step]:
    """What a QEMU that was just started has to be told, since no command line carries it."""
    site = new.site()
    changes = [change for change in compare(OPTIONS, now, new.declared) if change.option.told and change.option.live]
    return list(_ordered([adjust for change in changes for adjust in _adjusts(change, change.option.live(change, site))]))  # type: ignore[misc]


def _changes(new: Record, now: dict[str, Any]) -> Iterator[Change]:
    for change in compare(OPTIONS, _with_remains(new, now), new.declared):
        option = change.option
        if change.before is None and change.where[-1] != option.name and option.options and not option.whole:
            # What no property carries is told to an element after it was added.
            bare = cold(option.options, change.after)
            yield change._replace(after=bare)
            yield from compare(option.options, bare, change.after, change.path, change.where)
        else:
            yield change


def _with_remains(new: Record, now: dict[str, Any]) -> dict[str, Any]:
    """``now`` with elements that are neither there nor wanted any more, and whose backends may have stayed."""
    for option in OPTIONS:
        if option.type == "keyed" and option.live:
            present, wanted = now.get(option.name, {}), new.declared[option.name]
            remains = {name: item for name, item in (new.applied or {}).get(option.name, {}).items() if name not in present and name not in wanted}
            if remains:
                now = {**now, option.name: {**present, **remains}}
    return now


def _why_not(change: Change, new: Record, seen: Observed) -> str | None:
    """Why nothing is done now; None when something may be."""
    if change.option.change == NEXT_START:
        return ""
    if _is_lasting(change):
        return change.option.refuse(change.before, change.after)  # type: ignore[misc]
    reason = new.refused.get(change.path)
    gone = len(change.where) == 2 and change.where[1] not in (seen.spec or {}).get(change.where[0], {})
    if reason and gone and (change.after is None or reason.startswith("the guest")):
        return None  # it let go after all: its backend is left, its place is free
    return None if reason == ASLEEP and seen.status == "running" else reason


def _is_lasting(change: Change) -> bool:
    """Drift that no start mends either: a disk grown behind our back."""
    return bool(change.option.refuse and change.option.refuse(change.before, change.after))


def _adjusts(change: Change, deeds: list[Any]) -> Iterator[Adjust]:
    for deed in deeds:
        part = change
        if len(deeds) > 1:
            part = change._replace(after=None) if isinstance(deed, Unplug) else change._replace(before=None)
        yield Adjust(deed, (part,))


def _ordered(adjusts: list[Adjust]) -> Iterator[Adjust]:
    """What is removed goes first, users before what they use; what is said twice is said once."""
    yield from reversed([item for item in adjusts if isinstance(item.deed, Unplug)])
    rest = [item for item in adjusts if not isinstance(item.deed, Unplug)]
    for item in rest:
        same = [other for other in rest if other.deed == item.deed]
        if same[0] is item:
            yield Adjust(item.deed, tuple(change for other in same for change in other.changes))


def _with_files(adjusts: Iterator[Adjust], new: Record, seen: Observed, site: Site) -> Iterator[Step]:
    """A disk's file is made before the disk is added, and deleted after it was removed."""
    doomed = dict(new.doomed)
    for name in [*doomed]:
        if name not in (seen.spec or {}).get("disks", {}) and name not in (new.applied or {}).get("disks", {}):
            yield DeleteDisk(name, doomed.pop(name))
    for adjust in adjusts:
        where = adjust.changes[0].where
        disk = where[-1] if where[0] == "disks" and len(where) == 2 else None
        if disk and isinstance(adjust.deed, Plug) and disk not in new.made:
            item = disk_file(disk, new.declared["disks"][disk], site)
            if item.owned and new.declared["disks"][disk]["device"] == "disk":
                yield from make(new, item, seen)
        yield adjust
        if disk and isinstance(adjust.deed, Unplug) and disk in doomed:
            yield DeleteDisk(disk, doomed.pop(disk))
