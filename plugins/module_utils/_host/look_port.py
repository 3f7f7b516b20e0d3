# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look at a port of the guest from this host: by a forward, or by an address that this host reaches."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from typing import Any

from .._errors import LockedError, UnresponsiveError
from .._spec.condition import Way, ways
from .deadline import Deadline
from .look import Look
from .look_inside import addresses, listens
from .watch import query

# A guest that refuses a forwarded connection has it closed within milliseconds.
_HOLD_SECONDS = 0.3
# passt gives a connection that its guest does not answer up after 10 s (SYN_TIMEOUT), and cannot be asked before.
_PASST_SECONDS = 11.0
# "  TCP[ESTABLISHED]   14  127.0.0.1  2222  10.0.2.15  22  0  0", of what came in by a forward: the forward's own address first.
_CONNECTION = re.compile(r"TCP\[(\w+)\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+\d+\s")
_ANSWERED = ("ESTABLISHED", "CLOSE_WAIT")


async def port(look: Look, value: dict[str, Any], deadline: Deadline) -> str:
    if value.get("from") == "guest":
        return await listens(look, value["guest"], deadline)
    seen = []
    for way in ways(value, look.spec, look.record.identity):
        for address in [way.address] if way.address else await addresses(look, deadline):
            seen.append(await _try_port(look, way._replace(address=address), deadline))
            if not seen[-1]:
                look.found = f"{address}:{way.port}"
                return ""
    return ", ".join(dict.fromkeys(seen)) or "the guest has no address yet"


async def _try_port(look: Look, way: Way, deadline: Deadline) -> str:
    """QEMU and passt take a connection before the guest does: it counts when the guest says something, or is known to have answered."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(way.address, way.port), deadline.left)
    except asyncio.TimeoutError:
        return f"{way.address}:{way.port} does not answer"
    except OSError as exc:
        return f"{way.address}:{way.port}: {os.strerror(exc.errno) if exc.errno else exc}"
    try:
        if way.network not in ("user", "passt"):
            return ""
        hold = _HOLD_SECONDS if way.network == "user" else _PASST_SECONDS
        enough = deadline.left >= hold
        with suppress(asyncio.TimeoutError):
            return "" if await asyncio.wait_for(_first_byte(reader), min(hold, deadline.left)) else "nothing listens in the guest"
        if way.network == "user":
            return await _answered(look, way, deadline)
        return "" if enough else "the guest has not answered yet"
    finally:
        writer.close()


async def _first_byte(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1)
    except OSError:
        return b""


async def _answered(look: Look, way: Way, deadline: Deadline) -> str:
    """Whether QEMU's table of connections says that the guest took one that came by the forward."""
    try:
        table = await query(look.host, look.record, deadline, "human-monitor-command", {"command-line": "info usernet"})
    except (LockedError, UnresponsiveError) as exc:
        return exc.message
    return "" if any(state in _ANSWERED and int(port) == way.port for state, port in _CONNECTION.findall(table)) else "the guest does not answer"
