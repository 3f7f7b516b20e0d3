# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wished, stored and seen to the ordered steps between them."""

from __future__ import annotations

from typing import NamedTuple

from .._errors import MachineError, RefusedError, SpecError, UnresponsiveError
from .._spec.declaration import OPTIONS
from .._spec.disk_file import disk_files
from .._spec.firmware import image, nvram_name
from .._spec.option import NEXT_START, cold
from .diff import Change, compare
from .disks import check_doomed, check_recreate, disk_steps
from .first_boot import wants_restart, without_seed
from .live import Lack, after_start, to_apply
from .record import Record
from .steps import Adjust, BringImage, Define, Discard, MakeNvram, Release, Remove, Restore, Revert, Start, Step, Stop, Suspend, Tell
from .wish import Observed, Wish

# Of these QEMU says itself that only a reset helps.
_BEYOND_REPAIR = ("internal-error", "guest-panicked", "shutdown")
# A QEMU that was started for saved memory and has not loaded it.
_UNLOADED = ("prelaunch", "restore-vm")
_CONTINUE = Tell("continue", ({"execute": "cont"},))
_CONTINUE_AGAIN = Tell("continue after the I/O error", ({"execute": "cont"},), again=True)


class Plan(NamedTuple):
    """
    :param changes: what differs between the declaration now and the one before.
    :param pending: paths that reach the machine at its next start only; reasons: why, where that is not plain.
    :param status: the machine's status afterwards, for the diff.
    """

    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    pending: tuple[str, ...] = ()
    status: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def repairs(self) -> tuple[Change, ...]:
        """What is put back though nobody changed its declaration."""
        named = {change.path for change in self.changes}
        adjusts = [step for step in self.steps if isinstance(step, Adjust)]
        return tuple(change for step in adjusts for change in step.changes if change.path not in named and not any(isinstance(s, Start) for s in self.steps))

    @property
    def resumes(self) -> bool:
        return any(isinstance(step, Start) and step.as_before for step in self.steps)

    @property
    def unfinished(self) -> bool:
        """Whether it ends only what a task before left half done."""
        return bool(self.steps) and isinstance(self.steps[-1], (Release, Revert))


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
    if new.imported.get("whole") is False:
        raise RefusedError("its import was cut off", hint="Run the import again, or state: absent")
    changes = tuple(compare(OPTIONS, old.declared if old else {}, new.declared))
    if old:
        _refuse_impossible(changes, new)
        check_doomed(wish, old, new)
    lack = to_apply(new, seen) if seen.alive else Lack([], (), ())
    if new.anew:
        check_recreate(wish, new, seen, restarts=wants_restart(new, lack.pending))
    steps: list[Step] = []
    if old is None or old != new:
        steps.append(Define(new=old is None, paths=tuple(change.path for change in changes) if old else ()))
    if new.reverting or (new.frozen and seen.alive and not wish.force):
        return Plan((*steps, *_finish(new, seen)), changes, status=seen.status)
    more, pending, status = _reach(wish, new, seen, lack)
    stays = not any(isinstance(step, (Start, Stop)) for step in more)
    # What cannot be had is known before anything is stored, stopped or given up.
    images = [step for step in more if isinstance(step, BringImage)]
    return Plan((*images, *steps, *(step for step in more if not isinstance(step, BringImage))), changes, pending, status, lack.reasons if stays else ())


def _finish(new: Record, seen: Observed) -> list[Step]:
    """What a task of a snapshot that was cut off has left to do."""
    if new.reverting:
        return [*([Stop(force=True)] if seen.alive else []), Revert(new.reverting)]
    return [Release()]


def _absent(wish: Wish, old: Record | None, new: Record | None, seen: Observed) -> Plan:
    if old is None:
        return Plan(status="absent")
    if (new or old).declared.get("protect"):
        raise RefusedError("the machine is protected", hint="Set protect: false first, then state: absent")
    stop: list[Step] = [Stop(wish.force)] if seen.alive else []
    _answer_needed(stop, wish, seen)
    return Plan((*stop, Remove(old.directory)), status="absent")


def _refuse_impossible(changes: tuple[Change, ...], new: Record) -> None:
    for change in changes:
        reason = change.option.refuse and change.option.refuse(change.before, change.after)
        if reason and not (change.where[0] == "disks" and change.where[1] in new.anew):
            hint = f"Declare a new disk under another name, or give the old one's data up: recreate: [{change.where[1]}]"
            raise RefusedError(f"{change.path}: {reason}", hint=hint, path=change.path)


def _reach(wish: Wish, new: Record, seen: Observed, lack: Lack) -> tuple[list[Step], tuple[str, ...], str]:
    """The steps to the wished state; what stays pending; the status they lead to."""
    if not seen.alive:
        _refuse_without_disks(new, seen)
        return _reach_from_rest(wish, new, seen)
    live, pending = lack.steps, lack.pending
    stays = wish.state in ("started", "paused", "present")
    by_seed = wants_restart(new, pending)
    heavy = by_seed or bool(without_seed(pending) or new.anew)
    again = wish.state == "restarted" or (stays and (by_seed or (heavy and wish.on_restart_needed == "restart")))
    if pending and heavy and wish.on_restart_needed == "fail" and stays:
        raise RefusedError(f"needs a restart to take effect: {', '.join(pending)}", hint="on_restart_needed: restart or defer", pending_restart=list(pending))
    if again:
        _refuse_without_disks(new, seen)
    if again or wish.state == "stopped":
        memory = _give_up_memory(wish, loaded=seen.status not in _UNLOADED) if new.suspended else []
        paused = wish.state == "paused" or (wish.state == "present" and seen.status == "paused")
        steps = [*memory, Stop(wish.force), *at_rest(new, seen), *(_start(new, paused) if again else [])]
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
        return (*_reach_from_suspended(wish, new, seen), status)
    if wish.state == "suspended":
        raise RefusedError("the machine does not run, so there is nothing to suspend", hint="state: started first")
    steps = at_rest(new, seen)
    if wish.state in ("started", "paused", "restarted"):
        steps += _start(new, wish.state == "paused")
    return steps, (), status


def _start(new: Record, paused: bool) -> list[Step]:
    tell = after_start(new, cold(OPTIONS, new.declared))
    # The guest runs its first instruction only when all is as declared.
    return [Start(paused or bool(tell)), *tell, *([_CONTINUE] if tell and not paused else [])]


def _reach_from_suspended(wish: Wish, new: Record, seen: Observed) -> tuple[list[Step], tuple[str, ...]]:
    waits = tuple(change.path for change in compare(OPTIONS, new.applied or {}, new.declared) if change.option.change == NEXT_START)
    if wish.state in ("present", "suspended"):
        return [], waits
    if wish.state in ("started", "paused"):
        # The saved memory fits only the machine it was taken from: what was declared since waits for the next task.
        tell = after_start(new, cold(OPTIONS, new.applied or {}))
        return [Start(paused=True, as_before=True), Restore(), *tell, *_continue(wish)], waits
    start = _start(new, False) if wish.state == "restarted" else []
    return [*_give_up_memory(wish, loaded=False), *at_rest(new, seen), *start], ()


def _give_up_memory(wish: Wish, *, loaded: bool) -> list[Step]:
    if not loaded and not wish.force:
        raise RefusedError("the machine is suspended and its saved memory would be lost", hint="state: started first, or force: true")
    return [Discard()]


def _refuse_without_disks(new: Record, seen: Observed) -> None:
    for item in disk_files(new.declared, new.site()):
        if item.disk in seen.missing and item.disk not in new.anew:
            raise MachineError(
                f"the file of disk {item.disk!r} is gone: {item.file}",
                hint=f"Put it back, or give its data up: recreate: [{item.disk}]",
            )


def _run_or_pause(wish: Wish, new: Record, seen: Observed) -> list[Step]:
    if new.suspended and wish.state in ("started", "paused"):
        # A task was cut off between saving and quitting, or between starting and loading: QEMU's status tells which.
        return [Restore() if seen.status in _UNLOADED else Discard(), *_continue(wish)]
    if wish.state == "started" and seen.status not in ("running", "unresponsive"):
        if seen.status in _BEYOND_REPAIR:
            raise MachineError(f"the guest cannot go on: {seen.status}", hint="state: restarted with force: true starts it anew")
        return [_CONTINUE_AGAIN] if seen.status == "io-error" else [_CONTINUE]
    if wish.state == "paused" and seen.status == "running":
        return [Tell("pause", ({"execute": "stop"},))]
    return []


def _continue(wish: Wish) -> list[Step]:
    return [_CONTINUE] if wish.state == "started" else []


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


def at_rest(new: Record, seen: Observed) -> list[Step]:
    """What is done to the machine's files while no QEMU has them open."""
    steps = disk_steps(new, seen)
    nvram = f"{new.directory}/{nvram_name(new.declared)}"
    chosen = image(new.declared, new.site())
    if chosen and (nvram not in new.made or nvram in seen.missing):
        steps.append(MakeNvram(chosen["template"], nvram))
    return steps


def _status_after(wish: Wish, seen: Observed) -> str:
    if wish.state == "present":
        return "stopped" if seen.status == "absent" else seen.status
    return {"started": "running", "restarted": "running"}.get(wish.state, wish.state)
