# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How one machine is brought to a wish that is not met: plan, look ahead, apply, record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._errors import StartError
from ._host.deadline import Deadline
from ._host.host import Host
from ._host.observe import observe
from ._host.preflight import preflight
from ._outcome import Outcome, machine_facts
from ._plan.diff import conceal, readable
from ._plan.disks import unmade
from ._plan.first_boot import disks_by_policy
from ._plan.plan import Plan, make_plan
from ._plan.record import Record
from ._plan.wish import Observed, Wish
from ._spec.declaration import OPTIONS

if TYPE_CHECKING:
    from ._host.actions import Work


class Change:
    """
    :param outcome: what becomes of the machine is written there as it happens.
    :param witness, tell: as of the engine.
    """

    def __init__(self, host: Host, wish: Wish, outcome: Outcome, *, witness: Callable[[str], None], tell: Callable[[str, str], None]) -> None:
        self.host, self.wish, self.outcome = host, wish, outcome
        self.witness, self.tell = witness, tell

    async def make(self, old: Record | None, new: Record | None, seen: Observed, *, check: bool) -> None:
        """Whatever it takes, or in check mode what it would."""
        wish, outcome = self.wish, self.outcome
        # A second look, where the guest refused something, a resumed machine differs from what was declared meanwhile, or its disks
        # were half put back; more where it all happened.
        for _round in range(4):
            if new and wish.state != "absent":
                new.anew = sorted({*new.anew, *disks_by_policy(wish, new, seen)})
                seen = seen._replace(bases=await self.bases(new))
            plan = make_plan(wish, old, new, seen)
            await self._look_ahead(plan, old, new, seen)
            record, done = new or old, outcome.actions
            outcome.actions = _planned(plan, new)
            if record and plan.steps and not check:
                told = await self.apply(plan, record, seen)
                seen = told or await observe(self.host, record, Deadline(wish.timeout))
            outcome.actions = [*done, *outcome.actions]
            outcome.changed = outcome.changed or bool(plan.steps)
            if check or not plan.steps or record is None or not (record.refused or plan.resumes or plan.unfinished):
                break
            old, new = record, record.copy()
        outcome.warnings += [*plan.reasons, *self.host.store.warnings]
        outcome.vm = machine_facts(None if wish.state == "absent" and not check else new, seen)

    async def _look_ahead(self, plan: Plan, old: Record | None, new: Record | None, seen: Observed) -> None:
        outcome = self.outcome
        if plan.steps and new:
            outcome.warnings += await preflight(self.host, plan, new, seen)
        outcome.pending_restart = list(plan.pending)
        if plan.steps:
            _describe(plan, old, new, seen, outcome)

    async def bases(self, new: Record) -> dict[str, dict[str, Any]]:
        """What each disk that is yet to be made can be made of."""
        if new.imported.get("whole") is False or not any(item.image for item in unmade(new)):
            return {}
        from ._host.bases import find_bases

        return await find_bases(self.host, new, Deadline(self.wish.timeout))

    async def apply(self, plan: Plan, record: Record, found: Observed) -> Observed | None:
        """What the last step itself saw, if it looked."""
        from ._host.actions import Work, undo

        work = Work(self.host, self.wish, record, self.witness, found.spec)
        try:
            await self._take(plan, work)
        except StartError as exc:
            if found.status == "absent":  # no guest has ever run in it, so nothing can be lost
                await undo(work)
                self.outcome.actions, self.outcome.changed, exc.hint = [], False, "Nothing is left of the machine; correct its declaration"
            raise
        return work.seen

    async def _take(self, plan: Plan, work: Work) -> None:
        from ._host.actions import ACTIONS

        outcome = self.outcome
        planned, outcome.actions = outcome.actions, []
        try:
            for position, (step, action) in enumerate(zip(plan.steps, planned)):
                self.tell(outcome.name, step.summary())
                self.witness(f"before {step.action}")
                work.seen, work.rest = None, plan.steps[position + 1 :]
                await ACTIONS[type(step)](work, step)
                self.witness(f"after {step.action}")
                if work.notes:
                    action["outcome"] = work.notes.pop()
                # What was done stays said when a later step fails.
                outcome.actions.append(action)
                outcome.changed = outcome.changed or step.action != "define"
        finally:
            # A start stores its definition; what it could not store has not happened.
            outcome.changed = outcome.changed or work.saved
            if not outcome.changed:
                outcome.actions = []


def _planned(plan: Plan, new: Record | None) -> list[dict[str, Any]]:
    actions = [{"action": step.action, "summary": step.summary(), **step.details()} for step in plan.steps]
    for action in actions if new and new.argv and not plan.resumes else ():
        if action["action"] == "start":
            from ._host.render import argv_changes

            action["argv_changes"] = argv_changes(new)  # type: ignore[arg-type]
    return actions


def _describe(plan: Plan, old: Record | None, new: Record | None, seen: Observed, outcome: Outcome) -> None:
    if old is None and new:
        outcome.after = {**conceal(OPTIONS, new.raw), "state": plan.status}
        return
    for change in (*plan.changes, *plan.repairs):
        outcome.before[change.path], outcome.after[change.path] = readable(change)
    if plan.status == "absent" and old:
        outcome.before, outcome.after = conceal(OPTIONS, old.raw), {}
    outcome.before["state"], outcome.after["state"] = seen.status, plan.status
