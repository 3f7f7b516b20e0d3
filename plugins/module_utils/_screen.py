# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A picture of a machine's screen, kept, compared and read."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import HostError, MachineError
from ._host.deadline import Deadline
from ._host.paths import check_readable
from ._host.screen import Difference, compare, dump, read
from ._outcome import machine_facts
from ._plan.wish import Observed

# A cursor that blinks does so twice a second: a screen that differs is looked at over a whole period.
_LOOKS, _BETWEEN = 6, 0.2
_PAUSE = 0.5


class Shot(NamedTuple):
    """
    :param where: QEMU's ``device`` and ``head``. :param compared: ``{reference, mask, tolerance, color_tolerance, timeout}``.
    :param language: read in this one; nothing is read without.
    """

    name: str
    path: str | None = None
    where: dict[str, Any] = {}
    compared: dict[str, Any] | None = None
    language: str | None = None
    timeout: float = 30


class Taken(NamedTuple):
    changed: bool
    picture: bytes
    difference: Difference | None
    text: str | None
    vm: dict[str, Any]


def take(wish: Shot, *, engine: Engine | None = None) -> Taken:
    """The screen, as it is or as it shall be.

    :raises MaqetError: the machine is unknown, stopped or silent, or has no screen; it does not look like the reference.
    """
    engine = engine or Engine()
    return engine.do(wish.name, lambda: _take(engine, wish))


async def _take(engine: Engine, wish: Shot) -> Taken:
    deadline = Deadline(wish.timeout)
    reference = _content("compare.reference", wish.compared["reference"]) if wish.compared else b""
    before = _known(wish.path)
    content, seen = await _look(engine, wish, deadline)
    difference = None
    if wish.compared:
        content, difference = await _await_alike(engine, wish, content, reference)
    else:
        content = await _await_still(engine, wish, content, before)
    text = await read(content, wish.language, deadline) if wish.language else None
    return Taken(content != before and wish.path is not None, content, difference, text, seen)


async def _look(engine: Engine, wish: Shot, deadline: Deadline) -> tuple[bytes, dict[str, Any]]:
    async with engine.monitor(wish.name, deadline) as (monitor, record, pid):
        status = (await monitor.execute("query-status"))["status"]
        content = await dump(monitor, record, wish.where)
        return content, machine_facts(record, Observed(status, pid, qemu_version=monitor.qemu_version))


async def _await_still(engine: Engine, wish: Shot, content: bytes, before: bytes) -> bytes:
    """The picture from before if the screen looks like it again within a blink of its cursor."""
    latest = content
    for _look_number in range(_LOOKS if before else 0):
        if latest == before:
            return before
        await asyncio.sleep(_BETWEEN)
        latest, _vm = await _look(engine, wish, Deadline(wish.timeout))
    return before if latest == before else content


async def _await_alike(engine: Engine, wish: Shot, content: bytes, reference: bytes) -> tuple[bytes, Difference]:
    wanted = wish.compared or {}
    until = Deadline(wanted["timeout"])
    while True:
        found = compare(content, reference, wanted["mask"], wanted["color_tolerance"])
        if found.percent <= wanted["tolerance"]:
            return content, found
        if until.over:
            raise _differs(found, wanted, until)
        await asyncio.sleep(min(_PAUSE, until.left))
        content, _vm = await _look(engine, wish, Deadline(wish.timeout))


def _differs(found: Difference, wanted: dict[str, Any], until: Deadline) -> MachineError:
    x, y, width, height = found.area or (0, 0, 0, 0)
    within = f" within {until.seconds:g} s" if until.seconds else ""
    message = f"its screen does not look like {wanted['reference']}{within}: {found.percent:.2f} % differ, in {width}x{height} at {x},{y}"
    return MachineError(message, hint="Add that area to mask, or a tolerance, if it does not matter", difference=_shown(found))


def _shown(found: Difference) -> dict[str, Any]:
    area = dict(zip(("x", "y", "width", "height"), found.area)) if found.area else None
    return {"percent": round(found.percent, 4), "area": area}


def shown(taken: Taken) -> dict[str, Any]:
    """``difference`` and ``text`` of the result, where they were asked for."""
    result: dict[str, Any] = {} if taken.difference is None else {"difference": _shown(taken.difference)}
    return result if taken.text is None else {**result, "text": taken.text}


def _content(option: str, path: str) -> bytes:
    check_readable(option, path)
    with open(path, "rb") as file:
        return file.read()


def _known(path: str | None) -> bytes:
    """The picture that is there from before."""
    try:
        with open(path or "", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise HostError(f"path: {path} cannot be read: {exc.strerror}", hint="Name a file") from exc
