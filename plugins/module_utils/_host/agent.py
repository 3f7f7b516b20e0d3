# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest agent, by the library ``qemu.qmp``: it speaks QMP's words, without greeting and negotiation."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .._errors import MachineError, UnresponsiveError
from . import recorder
from .deadline import Deadline
from .qmp import Monitor, close_client, connect, make_client

_PAUSE = 0.05
# qemu-ga keeps up to 16 MiB of a command's output and as much of its errors, told in one line of base64.
_LONGEST_ANSWER = 48 << 20
# Its agent may have opened the channel before our record of events begins, as in a guest whose memory was saved.
_AGENT_PORT, _CLOSED_SECONDS = "guest-agent", 5.0


class Agent(Monitor):
    """An open session, in step with the agent."""

    who = "the guest agent"

    def __init__(self, client: Any, deadline: Deadline) -> None:
        self._client = client
        self._deadline = deadline

    def until(self, deadline: Deadline) -> Agent:
        """The same session with another deadline."""
        return Agent(self._client, deadline)


@asynccontextmanager
async def open_agent(path: str, deadline: Deadline) -> AsyncIterator[Agent]:
    """A session with the guest agent behind a socket.

    :raises UnresponsiveError: nobody answers there in time.
    """
    while True:
        client = make_client()
        client.await_greeting = client.negotiate = False
        client.readbuflen = _LONGEST_ANSWER
        try:
            try:
                agent = await _in_step(client, path, deadline)
            except MachineError:
                # What a client that was killed left half said ends sessions with errors, one for each word, until all are said.
                if deadline.over:
                    raise
            else:
                yield agent
                return
        finally:  # also of one that was called off: QEMU serves one at a time
            await close_client(client)
        await asyncio.sleep(_PAUSE)


async def _in_step(client: Any, path: str, deadline: Deadline) -> Agent:
    from qemu.qmp import ConnectError

    try:
        await connect(client, path, deadline)
    except (ConnectError, asyncio.TimeoutError) as exc:
        raise UnresponsiveError(f"the guest agent's socket cannot be connected: {exc}") from exc
    agent = Agent(client, deadline)
    number = random.randrange(1 << 31)  # noqa: S311 - only to know our own answer
    # Answers to a client before us come first, and may carry the id of our question.
    while await agent.execute("guest-sync", {"id": number}) != number:
        if deadline.over:
            raise MachineError("the guest agent answers other questions than ours", hint="Another client may use its socket")
    return agent


class Channel:
    """The agent's socket while somebody waits for it: one look at a time, and none before the guest has opened its end.

    What is said before that is kept there and all of it answered later: three conditions that asked from the start of a boot under TCG
    were not told in 90 s.
    """

    def __init__(self, directory: str, boot: recorder.Boot) -> None:
        self.turn = asyncio.Lock()
        self._directory, self._position, self._open, self._asked = directory, boot.events, False, time.monotonic()

    def check(self) -> None:
        """
        :raises UnresponsiveError: it is not open, and was asked all the same a moment ago.
        """
        events, self._position = recorder.read_events(self._directory, self._position)
        for event in events:
            if event["event"] == "VSERPORT_CHANGE" and event["data"]["id"] == _AGENT_PORT:
                self._open = event["data"]["open"]
        if not self._open and time.monotonic() - self._asked < _CLOSED_SECONDS:
            raise UnresponsiveError("no agent has come up in the guest")
        self._asked = time.monotonic()
