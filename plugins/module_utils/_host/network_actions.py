# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each step of a network is done. Every one may be repeated after any cut."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .._errors import StartError
from .._plan import network as plan
from .._plan.program import SWITCH, UPLINK
from .._plan.steps import Step
from . import networks, programs
from .host import Host


@dataclass
class Work:
    """One network in hand. :param witness: told of each step boundary; tests stop us there."""

    host: Host
    record: plan.NetworkRecord
    witness: Callable[[str], None]


async def take(host: Host, record: plan.NetworkRecord, steps: list[Step], outcome: networks.Outcome, witness: Callable[[str], None], *, fresh: bool) -> None:
    """Do the steps; what was done stays said when a later one fails. ``fresh``: of a network that never ran nothing is left."""
    work = Work(host, record, witness)
    planned, outcome.actions, outcome.changed = outcome.actions, [], False
    try:
        for step, action in zip(steps, planned):
            witness(f"before {step.action}")
            await _ACTIONS[type(step)](work, step)
            witness(f"after {step.action}")
            outcome.actions.append(action)
            outcome.changed = True
    except StartError:
        if fresh:
            await _remove(work, plan.RemoveNetwork(record.directory))
            outcome.actions, outcome.changed = [], False
        raise


async def _define(work: Work, step: plan.DefineNetwork) -> None:
    work.witness("before save")
    work.host.store.save_network(work.record)
    work.witness("after save")


async def _begin(work: Work, step: plan.Begin) -> None:
    record, program = work.record, step.program
    networks.make_directories(record)
    # One that ended may have left a unit that failed, and a switch the sockets of its clients.
    await programs.stop(work.host, record, program.name)
    work.witness("stopped")
    more: list[str] = []
    if program.name == SWITCH:
        shutil.rmtree(f"{record.run_dir}/vde", ignore_errors=True)
        if record.medium == "hub":
            from .hub import first_told

            more = first_told(record)
    await programs.start(work.host, record, program, more)
    work.witness("started")
    await networks.await_program(work.host, record, program)


async def _end(work: Work, step: plan.End) -> None:
    await programs.stop(work.host, work.record, step.program)


async def _uplink(work: Work, step: plan.Uplink) -> None:
    from .hub import tell_hub

    await tell_hub(work.record, {UPLINK: list(step.parts)})


async def _remove(work: Work, step: plan.RemoveNetwork) -> None:
    await programs.stop(work.host, work.record, SWITCH)
    work.witness("stopped")
    networks.remove_directories(work.record, work.witness)
    work.witness("directory removed")
    work.host.store.forget_network(work.record.name)


_ACTIONS: dict[type[Step], Callable[[Work, Any], Awaitable[None]]] = {
    plan.DefineNetwork: _define,
    plan.Begin: _begin,
    plan.End: _end,
    plan.Uplink: _uplink,
    plan.RemoveNetwork: _remove,
}
