# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a network's links to other hosts work. Each says so in its log, once the switch there has taken it."""

from __future__ import annotations

import asyncio
import os
import time

from .._plan.network import NetworkRecord
from .._plan.program import LINK_UP
from . import programs
from .paths import last_words

# A link that comes needs the second in which it proves to be one, and where the other switch comes later one try more.
_GRACE_SECONDS = 5.0
_LINES = 1000
_PAUSE = 0.05


def links(record: NetworkRecord) -> dict[str, str]:
    """``up`` or ``down``, by peer."""
    return {name.partition("-")[2]: "up" if _is_up(record, name) else "down" for name in _names(record)}


def troubles(record: NetworkRecord) -> list[str]:
    """What keeps each link down that has had the time to come."""
    return [_why(record, name) for name in _names(record) if _is_due(record, name) and not _is_up(record, name)]


async def await_links(record: NetworkRecord) -> None:
    """Until each is up, or has had its time."""
    while any(not _is_up(record, name) and not _is_due(record, name) and name in programs.known(record.run_dir) for name in _names(record)):
        await asyncio.sleep(_PAUSE)


def _names(record: NetworkRecord) -> list[str]:
    return [name for name, program in record.programs.items() if program.lasting]


def _is_up(record: NetworkRecord, name: str) -> bool:
    return programs.living(record.run_dir, name) is not None and LINK_UP in last_words(programs.log_of(record, name), lines=_LINES)


def _is_due(record: NetworkRecord, name: str) -> bool:
    """Whether a task started it long enough ago, and since the host is up; that systemd tries it again does not count."""
    try:
        since = os.stat(programs.command_file(record, name)).st_mtime
    except OSError:
        return False
    return name in programs.known(record.run_dir) and time.time() - since > _GRACE_SECONDS


def _why(record: NetworkRecord, name: str) -> str:
    words = [line for line in last_words(programs.log_of(record, name)) if line.strip() and line != LINK_UP]
    return f"the link to {name.partition('-')[2]} is down: {words[-1].strip() if words else 'it has said nothing yet'}"
