# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that waits for what one machine does."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import SpecError
from ._host import recorder
from ._host.conditions import Goal, await_met, look_once, since_now, since_start
from ._host.deadline import Deadline
from ._host.liveness import living_pid
from ._host.look import Look, Since
from ._outcome import Outcome
from ._plan.record import Record
from ._spec.condition import ANY_STATUS, check_conditions, check_possible, conditions, typed
from ._spec.moment import Cursor, parse_moment


class Wait(NamedTuple):
    """
    :param conditions: as a user writes them.
    :param since: ``start``, ``now`` or a time: from where on events and the console count.
    """

    name: str
    conditions: list[dict[str, Any]]
    match: str = "all"
    since: str = "start"
    timeout: float = 300


class Answer(NamedTuple):
    conditions: list[dict[str, Any]]
    seconds: float
    vm: dict[str, Any]
    warnings: list[str]


def wait(wish: Wait, *, check: bool = False, engine: Engine | None = None) -> Answer:
    """Wait; in check mode look once, and at nothing that would do something.

    :raises MaqetError: the machine is unknown or cannot meet a condition, or time is up.
    """
    answers: list[Answer] = []
    engine = engine or Engine()

    async def one(outcome: Outcome) -> None:
        answers.append(await _wait(engine, wish, check=check))

    outcome = asyncio.run(engine.each([wish.name], one))[0]
    if outcome.error:
        raise outcome.error
    return answers[0]


async def _wait(engine: Engine, wish: Wait, *, check: bool) -> Answer:
    begun = time.monotonic()
    wanted = typed(wish.conditions)
    check_conditions(wanted, "conditions", ANY_STATUS)
    moment = parse_moment(wish.since)
    record = engine.host.store.load([wish.name]).get(wish.name)
    goal = Goal(conditions(wanted), wish.match)
    if record is None:
        unknown = SpecError("name", f"there is no machine {wish.name!r}", hint="maqet_vm declares one, maqet_vm_info lists them")
        if not check:
            raise unknown
        # A task before this one may be what would make it.
        return Answer([_told(str(item), "there is no such machine") for item in goal.items], 0.0, {}, [str(unknown)])
    check_possible(goal.items, record.applied or record.declared, "conditions")
    goal = goal._replace(since=_since(record, moment))
    if check:
        looks = await look_once(engine.host, record, goal, living_pid(record.directory))
    else:
        looks = await await_met(engine.host, wish.name, goal, Deadline(wish.timeout))
    return Answer([_answer(look) for look in looks], round(time.monotonic() - begun, 3), _facts(record), engine.host.store.warnings)


def _since(record: Record, moment: str | float | Cursor) -> Since:
    if moment == "now":
        return since_now(record)
    start = since_start(record)
    # A console has no times and no cursors: it counts from the guest's last start.
    if isinstance(moment, Cursor):
        return start._replace(events=moment)
    return start if isinstance(moment, str) else Since(recorder.BEGINNING, start.serial, moment)


def _answer(look: Look) -> dict[str, Any]:
    return {**_told(str(look.condition), look.seen), "met": look.met, "found": look.found}


def _told(condition: str, seen: str) -> dict[str, Any]:
    return {"condition": condition, "met": False, "seen": seen, "found": None}


def _facts(record: Record) -> dict[str, Any]:
    pid = living_pid(record.directory)
    return {"name": record.name, "uuid": record.identity.get("uuid"), "pid": pid, "directory": record.directory}
