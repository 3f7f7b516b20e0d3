# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QMP by the library ``qemu.qmp``: short sessions, a deadline on the greeting and on each command."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from .._errors import HostError, QmpError, UnresponsiveError
from .deadline import Deadline

# Answering and closing are quick when they work at all; a hung peer must not hold us.
_CLOSE_SECONDS = 1.0


class Monitor:
    """An open session."""

    who = "the monitor"

    def __init__(self, client: Any, deadline: Deadline) -> None:
        self._client = client
        self._deadline = deadline
        version = client.greeting.QMP.version["qemu"]
        self.qemu_version = f"{version['major']}.{version['minor']}.{version['micro']}"

    async def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """The command's ``return``.

        :raises QmpError: QEMU refused it. :raises UnresponsiveError: no answer in time, or the stream ended.
        """
        from qemu.qmp import ExecuteError, QMPError

        try:
            return await asyncio.wait_for(self._client.execute(command, arguments or None), self._deadline.left)
        except asyncio.TimeoutError as exc:
            raise UnresponsiveError(f"{self.who} gave no answer to {command} within {self._deadline.seconds:g} s", command=command) from exc
        except ExecuteError as exc:
            error = exc.received["error"]  # the library's own attributes for it differ between 0.0.5 and 0.0.6
            raise QmpError(command, error["class"], error["desc"]) from exc
        except (QMPError, OSError, EOFError) as exc:
            raise UnresponsiveError(f"{self.who} closed during {command}: {exc}", command=command) from exc


@asynccontextmanager
async def open_monitor(where: str | socket.socket, deadline: Deadline) -> AsyncIterator[Monitor]:
    """A session on a socket (or its path).

    :raises UnresponsiveError: nobody listens there, or no greeting came in time.
    """
    client = make_client()
    try:
        try:
            await connect(client, where, deadline)
        except _connect_errors() as exc:
            # QEMU that was still letting go of the last session may close the new one with it.
            if not _was_cut_off(exc) or not isinstance(where, str):
                raise
            await close_client(client)
            client = make_client()
            await connect(client, where, deadline)
        yield Monitor(client, deadline)
    except asyncio.TimeoutError as exc:
        raise UnresponsiveError(f"no greeting within {deadline.seconds:g} s") from exc
    except _connect_errors() as exc:
        raise UnresponsiveError(f"cannot connect: {exc.exc}") from exc
    finally:
        await close_client(client)


def make_client() -> Any:
    client = _client_class()("maqet")
    # Its own log lines would end up on the module's standard error.
    client.logger.setLevel(logging.CRITICAL + 1)
    return client


@lru_cache
def _client_class() -> Any:
    try:
        from qemu.qmp import QMPClient
    except ImportError as exc:
        raise HostError(
            "the Python library qemu.qmp is missing where the module runs",
            hint="pip install 'qemu.qmp>=0.0.5,<0.1' for that Python, or apply the role maqet.qemu.host",
        ) from exc

    class Client(QMPClient):  # type: ignore[misc]
        """The library's hooks make a text of each message for its log, which nobody reads: 0.3 ms a session."""

        def _cb_inbound(self, msg: Any) -> Any:
            return msg

        def _cb_outbound(self, msg: Any) -> Any:
            return msg

    return Client


async def connect(client: Any, where: str | socket.socket, deadline: Deadline) -> None:
    """
    :raises qemu.qmp.ConnectError: no session. :raises asyncio.TimeoutError: none in time.
    """
    try:
        await asyncio.wait_for(client.connect(where), deadline.left)
    except AssertionError as exc:  # how the library says that a session ended while it was being opened
        raise _connect_errors()("the session ended at once", EOFError("the session ended at once")) from exc


def _was_cut_off(error: Any) -> bool:
    """Whether the stream ended before the greeting was answered; the library wraps that once or twice."""
    return isinstance(getattr(error.exc, "exc", error.exc), (EOFError, ConnectionResetError, BrokenPipeError))


def _connect_errors() -> Any:
    from qemu.qmp import ConnectError

    return ConnectError


async def close_client(client: Any) -> None:
    try:
        await asyncio.wait_for(client.disconnect(), _CLOSE_SECONDS)
    except Exception:  # noqa: BLE001 - whatever the end of a session says, its work is done or has been reported
        return


# How QEMU says that what should go is not there.
_ABSENT = ("Failed to find node", "not found")


async def tell(monitor: Monitor, command: dict[str, Any]) -> None:
    """A command whose answer does not matter; taking away what is not there is done.

    :raises QmpError: QEMU refused it.
    """
    name, arguments = command["execute"], command.get("arguments") or {}
    try:
        answer = await monitor.execute(name, arguments)
    except QmpError as exc:
        if name.endswith(("_del", "-del")) and any(words in exc.message for words in _ABSENT):
            return
        raise
    # The human monitor has no errors, only words; removing says what it did.
    line = arguments.get("command-line", "")
    if name == "human-monitor-command" and answer and not line.startswith("hostfwd_remove"):
        raise QmpError(line, "GenericError", answer.strip())
