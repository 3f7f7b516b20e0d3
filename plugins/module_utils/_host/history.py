# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong with a machine, as far back as its recorder reaches."""

from __future__ import annotations

from typing import Any

from . import recorder
from .recorder import Line

# What a guest does that did not mean to.
_TROUBLE = {"GUEST_PANICKED": "panic", "GUEST_CRASHLOADED": "panic", "WATCHDOG": "watchdog", "BLOCK_IO_ERROR": "io-error", "MEMORY_FAILURE": "memory-failure"}
# A disk that fails says so at each write.
_ONCE = "io-error"


def troubles(directory: str, *, alive: bool) -> list[dict[str, Any]]:
    """Crashes of QEMU, panics, watchdogs and failing disks, oldest first: ``{what, time, cursor, data}``.

    A crash is a QEMU that ended without having said so. Its time is that of its last event, or of its start.
    """
    found: list[dict[str, Any]] = []
    time, sign, ended = None, None, False
    for line in recorder.read(directory)[0]:
        if "event" in line.item:
            time, sign, ended = recorder.seconds(line.item), line, ended or line.item["event"] == "SHUTDOWN"
            _add(found, line)
            continue
        if not {"QMP", "serial"} & set(line.item):
            continue  # the answer to hello.json
        if sign and not ended:
            found.append(_crash(time, sign))
        # Our mark, and then QEMU's greeting.
        time, sign, ended = line.item.get("time", time), line if "QMP" in line.item else None, False
    if sign and not ended and not alive:
        found.append(_crash(time, sign))
    return found


def _crash(time: float | None, sign: Line) -> dict[str, Any]:
    return {"what": "crash", "time": time, "cursor": str(sign.cursor), "data": {}}


def _add(found: list[dict[str, Any]], line: Line) -> None:
    what = _TROUBLE.get(line.item["event"])
    data = line.item.get("data", {})
    if what is None or (what == _ONCE and found and found[-1]["what"] == what and found[-1]["data"].get("device") == data.get("device")):
        return
    found.append({"what": what, "time": recorder.seconds(line.item), "cursor": str(line.cursor), "data": data})
