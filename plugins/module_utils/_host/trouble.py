# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine that QEMU paused since a disk could not be written."""

from __future__ import annotations

import asyncio
import os

from .._errors import MachineError
from .._spec.size import format_size
from .paths import free_bytes
from .qmp import Monitor

_WORDS = {"nospace": "no space was left", "failed": "reading or writing failed"}
# QEMU repeats the request that failed as soon as it continues.
_TRIES, _PAUSE = 10, 0.05


async def io_error(monitor: Monitor) -> str:
    """Which disk stopped the machine, and the free space where its file is."""
    words = []
    for item in await monitor.execute("query-block"):
        what = _WORDS.get(item.get("io-status", "ok"))
        if what and "inserted" in item:
            file = item["inserted"]["image"]["filename"]
            words.append(f"{what} for {file} ({_free(file)})")
    return "; ".join(words)


def _free(file: str) -> str:
    folder = os.path.dirname(file)
    try:
        return f"{format_size(free_bytes(folder))} free in {folder}"
    except OSError as exc:
        return f"{folder}: {exc.strerror}"


async def await_progress(monitor: Monitor) -> None:
    """
    :raises MachineError: the machine that was continued stopped again.
    """
    for _try in range(_TRIES):
        if (await monitor.execute("query-status"))["status"] == "io-error":
            raise MachineError(f"io-error: {await io_error(monitor)}", hint="Make room there, then run the task again: the guest goes on where it was")
        await asyncio.sleep(_PAUSE)
