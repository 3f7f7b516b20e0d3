# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wished, stored and seen to the ordered steps between them."""

from __future__ import annotations

from typing import NamedTuple

from .._errors import MachineError, RefusedError, SpecError, UnresponsiveError
from .._spec.declaration import OPTIONS
from .._spec.disk import disk_files
from .._spec.option import NEXT_START
from .diff import Change, compare, readable
from .record import Record
from .steps import Define, DeleteDisk, Discard, GrowDisk, MakeDisk, Remove, Restore, Start, Step, Stop, Suspend, Tell
from .wish import Observed, Wish

# Of these QEMU says itself that only a reset helps.
_BEYOND_REPAIR = ("internal-error", "guest-panicked", "shutdown")
# A QEMU that was started for saved memory and has not loaded it.
_UNLOADED = ("prelaunch", "restore-vm")


class Plan(NamedTuple):
    """
    :param changes: what differs between the declaration now and the one before.
    :param pending: paths that reach the machine at its next start only.
    :param status: the machine's status afterwards, for the diff.
    """

    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    pending: tuple[str, ...] = ()
    status: str = ""


def make_plan(wish: Wish, old: Record | None, new: Record | None, seen: Observed) -> Plan:
    """
    :param old: what is stored; new: the same with the declaration of this task (None without one for a machine
        that is not known).
    :raises MaqetError: when the wish cannot be fulfilled; nothing has been done then.
    """
    if old and seen.alive and wish.supervisor not in ("auto", old.supervisor):
        raise RefusedError(f"the machine runs under supervisor {old.supervisor}", hint="state: stopped first, or supervisor: auto")
    if wish.state == "absent":
        return _absent(wish, old, new, seen)
    if new is None:
        raise SpecError("name", f"there is no machine {wish.name!r}", hint="Declare it: give at least one option, such as memory: 512MiB")
    changes = tuple(compare(OPTIONS, old.declared if old else {}, new.declared))
    if old:
        _refuse_impossible(changes)
    steps: list[Step] = []
    if old is None or old != new:
        steps.append(Define(new=old is None, paths=tuple(change.path for change in changes) if old else ()))
    more, pending, status = _reach(wish, new, seen)
    return Plan((*steps, *more), changes, pending, status)


def _absent(wish: Wish, old: Record | None, new: Record | None, seen: Observed) -> Plan:
    if old is None:
        return Plan(status="absent")
    if (new or old).declared.get("protect"):
        raise RefusedError("the machine is protected", hint="Set protect: false first, then state: absent")
    stop: list[Step] = [Stop(wish.force)] if seen.alive else []
    _answer_needed(stop, wish, seen)
    return Plan((*stop, Remove(old.directory)), status="absent")


def _refuse_impossible(changes: tuple[Change, ...]) -> None:
    for change in changes:
        reason = change.option.refuse and change.option.refuse(change.before, change.after)
        if reason:
            raise RefusedError(f"{change.path}: {reason}", hint="Declare a new disk under another name, or state: absent first", path=change.path)


def _reach(wish: Wish, new: Record, seen: Observed) -> tuple[list[Step], tuple[str, ...], str]:
    """The steps to the wished state; what stays pending; the status they lead to."""
    if not seen.alive:
        _refuse_without_disks(new, seen)
        return _reach_from_rest(wish, new, seen)
    live, pending = _to_apply(new)
    stays = wish.state in ("started", "paused", "present")
    again = wish.state == "restarted" or (bool(pending) and wish.on_restart_needed == "restart" and stays)
    if pending and wish.on_restart_needed == "fail" and stays:
        raise RefusedError(f"needs a restart to take effect: {', '.join(pending)}", hint="on_restart_needed: restart or defer", pending_restart=list(pending))
    if again:
        _refuse_without_disks(new, seen)
    if again or wish.state == "stopped":
        memory = _give_up_memory(wish, loaded=seen.status not in _UNLOADED) if new.suspended else []
        paused = wish.state == "paused" or (wish.state == "present" and seen.status == "paused")
        steps = [*memory, Stop(wish.force), *at_rest(new), *([Start(paused)] if again else [])]
        pending = ()
    elif wish.state == "suspended":
        steps = [*live, Suspend()]
    else:
        steps = [*live, *_run_or_pause(wish, new, seen)]
    _answer_needed(steps, wish, seen)
    return steps, pending, _status_after(wish, seen)


def _reach_from_rest(wish: Wish, new: Record, seen: Observed) -> tuple[list[Step], tuple[str, ...], str]:
    status = _status_after(wish, seen)
    if seen.status == "suspended":
        return (*_reach_from_suspended(wish, new), status)
    if wish.state == "suspended":
        raise RefusedError("the machine does not run, so there is nothing to suspend", hint="state: started first")
    steps = at_rest(new)
    if wish.state in ("started", "paused", "restarted"):
        steps.append(Start(wish.state == "paused"))
    return steps, (), status


def _reach_from_suspended(wish: Wish, new: Record) -> tuple[list[Step], tuple[str, ...]]:
    live, pending = _to_apply(new)
    if wish.state in ("present", "suspended"):
        return [], pending
    if wish.state in ("started", "paused"):
        # The saved memory fits only the machine it was taken from: what was declared since waits for a later start.
        return [Start(paused=True, as_before=True), Restore(), *live, *_continue(wish)], pending
    start: list[Step] = [Start(False)] if wish.state == "restarted" else []
    return [*_give_up_memory(wish, loaded=False), *at_rest(new), *start], ()


def _give_up_memory(wish: Wish, *, loaded: bool) -> list[Step]:
    if not loaded and not wish.force:
        raise RefusedError("the machine is suspended and its saved memory would be lost", hint="state: started first, or force: true")
    return [Discard()]


def _refuse_without_disks(new: Record, seen: Observed) -> None:
    for item in disk_files(new.declared, new.site()):
        if item.disk in seen.missing:
            raise MachineError(
                f"the file of disk {item.disk!r} is gone: {item.file}",
                hint="Put it back, or leave the disk out of the declaration once to give it up",
            )


def _run_or_pause(wish: Wish, new: Record, seen: Observed) -> list[Step]:
    if new.suspended and wish.state in ("started", "paused"):
        # A task was cut off between saving and quitting, or between starting and loading: QEMU's status tells which.
        return [Restore() if seen.status in _UNLOADED else Discard(), *_continue(wish)]
    if wish.state == "started" and seen.status not in ("running", "unresponsive"):
        if seen.status in _BEYOND_REPAIR:
            raise MachineError(f"the guest cannot go on: {seen.status}", hint="state: restarted with force: true starts it anew")
        return _continue(wish)
    if wish.state == "paused" and seen.status == "running":
        return [Tell("pause", ({"execute": "stop"},))]
    return []


def _continue(wish: Wish) -> list[Step]:
    return [Tell("continue", ({"execute": "cont"},))] if wish.state == "started" else []


def _answer_needed(steps: list[Step], wish: Wish, seen: Observed) -> None:
    """A machine that does not answer is left alone, unless it is to be stopped by force."""
    if seen.status != "unresponsive" or (wish.force and any(isinstance(step, Stop) for step in steps)):
        return
    raise UnresponsiveError(
        f"unresponsive: QEMU runs (pid {seen.pid}) and its monitor does not answer: {seen.why}",
        hint="If it never comes back: state: stopped or restarted with force: true kills it",
        status="unresponsive",
        pid=seen.pid,
    )


def _to_apply(new: Record) -> tuple[list[Step], tuple[str, ...]]:
    """What the running QEMU lacks: steps for what can be done now, paths of what cannot."""
    live: list[Step] = []
    pending: list[str] = []
    site = new.site()
    for change in compare(OPTIONS, new.applied or {}, new.declared):
        if change.option.change == NEXT_START:
            pending.append(change.path)
        elif change.option.live:
            before, after = readable(change)
            live.append(Tell(f"{change.path}: {before} → {after}", tuple(change.option.live(change, site)), change))
    return live, tuple(pending)


def at_rest(new: Record) -> list[Step]:
    """What is done to the disks while no QEMU has them open."""
    steps: list[Step] = [DeleteDisk(disk, file) for disk, file in new.doomed.items()]
    for item in disk_files(new.declared, new.site()):
        if not item.owned:
            continue
        if item.disk not in new.made:
            steps.append(MakeDisk(item))
        elif item.size and item.size > (new.made[item.disk] or 0):
            steps.append(GrowDisk(item))
    return steps


def _status_after(wish: Wish, seen: Observed) -> str:
    if wish.state == "present":
        return "stopped" if seen.status == "absent" else seen.status
    return {"started": "running", "restarted": "running"}.get(wish.state, wish.state)
