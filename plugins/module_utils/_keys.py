# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys struck on a machine's keyboard, no faster than its guest takes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import MachineError, QmpError
from ._host import lock
from ._host.deadline import Deadline
from ._host.liveness import cpu_seconds, is_asleep
from ._host.qmp import Monitor
from ._host.watch import still
from ._outcome import machine_facts
from ._plan.wish import Observed
from ._spec.keyboard import Stroke, strokes_of_chords, strokes_of_text

# Seconds for one press or release, by what QEMU calls the keyboard; USB's is asked every 10 ms. Measured under TCG.
_PACE = {"usb-kbd": 0.012, "virtio-keyboard": 0.0005, "ps2": 0.0005}
# The machine's lock is given back this often.
_TURN_SECONDS = 1.0
_LOOK_SECONDS = 10.0
# A guest has had its turn when its CPUs have come to rest, or have worked so long; a host that is busy gives them none for a while.
_WORKED_SECONDS, _LONGEST_SECONDS = 0.02, 2.0
# A guest that sleeps wakes at a key.
_HEAR = ("running", "suspended")


class Typing(NamedTuple):
    """
    :param keys: chords, such as ``ctrl-alt-f2``; or text. :param interval: seconds between two strokes, or what the keyboard takes.
    """

    name: str
    keys: Sequence[str] = ()
    text: str | None = None
    layout: str = "us"
    interval: float | None = None
    timeout: float = 30


class Typed(NamedTuple):
    strokes: int
    vm: dict[str, Any]


def strike(wish: Typing, *, check: bool = False, engine: Engine | None = None) -> Typed:
    """Strike them all, or in check mode only see that it could be done.

    :raises MaqetError: a key is none; the machine is unknown, stopped, paused or silent, or has no keyboard.
    """
    strokes = strokes_of_text(wish.text, wish.layout) if wish.text is not None else strokes_of_chords(wish.keys, wish.layout)
    engine = engine or Engine()
    return engine.do(wish.name, lambda: _strike(engine, wish, strokes, check=check))


async def _strike(engine: Engine, wish: Typing, strokes: list[Stroke], *, check: bool) -> Typed:
    async with engine.monitor(wish.name, Deadline(_LOOK_SECONDS)) as (monitor, record, pid):
        await _hears(monitor)
        pace = await _pace(monitor)
        seen = Observed("running", pid, qemu_version=monitor.qemu_version)
    if not check:
        async with lock.turn(f"{record.run_dir}/keys.lock", "its keyboard", Deadline(wish.timeout)):
            done = 0
            while done < len(strokes):
                done += await _take_turn(engine, wish, strokes[done:], pace, done)
    return Typed(len(strokes), machine_facts(record, seen))


async def _take_turn(engine: Engine, wish: Typing, strokes: list[Stroke], pace: float, before: int) -> int:
    """Strike for a while; how many."""
    begun = time.monotonic()
    done = 0
    async with engine.monitor(wish.name, Deadline(_LOOK_SECONDS + _TURN_SECONDS)) as (monitor, _record, pid):
        cpus = [cpu["thread-id"] for cpu in await monitor.execute("query-cpus-fast")]
        for stroke in strokes:
            await _strike_one(monitor, stroke)
            done += 1
            await asyncio.sleep(pace * len(stroke.keys) * 2 if wish.interval is None else wish.interval)
            await _its_turn(pid, cpus)
            if time.monotonic() - begun > _TURN_SECONDS:
                break
        try:
            await _hears(monitor)
        except MachineError as exc:
            exc.message = f"{exc.message}; of the strokes before that {before} to {before + done} may have come in"
            raise
    return done


async def _strike_one(monitor: Monitor, stroke: Stroke) -> None:
    events = [_event(key, down=True) for key in stroke.keys] + [_event(key, down=False) for key in reversed(stroke.keys)]
    try:
        await monitor.execute("input-send-event", {"events": events})
    except QmpError as exc:
        if "handler not found" in exc.message:
            hint = "Add one: devices: [{driver: qemu-xhci, id: xhci}, {driver: usb-kbd, id: my-keyboard}], or virtio-keyboard-pci"
            raise MachineError("the machine has no keyboard", hint=hint) from exc
        raise


def _event(key: str, *, down: bool) -> dict[str, Any]:
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": key}}}


async def _hears(monitor: Monitor) -> None:
    """
    :raises MachineError: QEMU drops what is typed.
    """
    status = (await monitor.execute("query-status"))["status"]
    if status not in _HEAR:
        raise still(status)


async def _pace(monitor: Monitor) -> float:
    """Of the slowest keyboard that the machine has."""
    kinds = [device["type"] for device in await monitor.execute("qom-list", {"path": "/machine/peripheral"})]
    found = [pace for name, pace in _PACE.items() if any(name in kind for kind in kinds)]
    return max([_PACE["ps2"], *found])


async def _its_turn(pid: int, cpus: list[int]) -> None:
    """Wait until the guest has had time for what came in."""
    begun, longest = cpu_seconds(pid, cpus), Deadline(_LONGEST_SECONDS)
    while not longest.over and not is_asleep(pid, cpus) and cpu_seconds(pid, cpus) - begun < _WORKED_SECONDS:
        await asyncio.sleep(0.001)
