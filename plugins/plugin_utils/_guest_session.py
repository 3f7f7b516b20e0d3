# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A conversation with a guest's agent that outlives its sessions: who speaks next connects anew, and an agent that was restarted goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, Protocol

from ..module_utils._errors import MachineError, QmpError, UnresponsiveError
from ..module_utils._host.agent import Agent, open_agent
from ..module_utils._host.deadline import Deadline

# Each new session costs 100 ms: qemu-ga sleeps that long after it has read the end of the last one. Others wait meanwhile.
_HOLD_SECONDS, _IDLE_SECONDS = 0.5, 0.3
_ANSWER_SECONDS = 5.0
_CLOSE_SECONDS = 5.0


class Way(Protocol):
    """How an agent's socket is reached."""

    async def find(self, deadline: Deadline) -> str:
        """The socket's path on this host, once there may be an answer.

        :raises MaqetError: why there can be none.
        """

    async def why(self, error: MachineError) -> MachineError:
        """What can be said of an agent that did not answer."""


class LostError(MachineError):
    """A question was put, and no answer came: nobody knows whether it was done."""


class Session:
    """:param seconds: how long the agent may be silent."""

    def __init__(self, way: Way, seconds: float) -> None:
        self._way, self.seconds = way, seconds
        self._stack = AsyncExitStack()
        self._agent: Agent | None = None
        self._opened = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it in the session's thread, so that what a signal raises here (a task's timeout) ends it in good order."""
        ended = threading.Event()

        async def tracked() -> Any:
            try:
                return await work
            finally:
                self._rest()
                ended.set()

        future = asyncio.run_coroutine_threadsafe(tracked(), self._loop)
        try:
            return future.result()
        except BaseException:
            if not future.done() or future.cancelled():
                future.cancel()
                ended.wait(_CLOSE_SECONDS)
            raise

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        with suppress(Exception):  # whatever the end of a session says, its work is done
            asyncio.run_coroutine_threadsafe(self.release(), self._loop).result(_CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)
        self._loop.close()

    async def ask(self, command: str, arguments: dict[str, Any] | None = None, *, hold: float = _HOLD_SECONDS) -> Any:
        """The agent's answer to a question that may be put twice.

        :raises QmpError: it refused. :raises MachineError: no answer in time, and why.
        """
        deadline = Deadline(self.seconds)
        while True:
            try:
                return await self._ask(command, arguments, await self._session(deadline, hold), _ANSWER_SECONDS)
            except LostError as exc:
                if deadline.over:
                    raise await self._way.why(exc) from None

    async def ask_once(self, command: str, arguments: dict[str, Any] | None = None, *, hold: float = _HOLD_SECONDS) -> Any:
        """The same for one that must not be put twice.

        :raises LostError: it was put, and no answer came.
        """
        return await self._ask(command, arguments, await self._session(Deadline(self.seconds), hold), self.seconds)

    async def _ask(self, command: str, arguments: dict[str, Any] | None, agent: Agent, seconds: float) -> Any:
        try:
            return await agent.until(Deadline(seconds)).execute(command, arguments)
        except UnresponsiveError as exc:
            await self.release()
            raise LostError(exc.message) from exc
        except asyncio.CancelledError:
            await self.release()
            raise

    async def _session(self, deadline: Deadline, hold: float) -> Agent:
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if self._agent and self._loop.time() - self._opened > hold:
            await self.release()
        while self._agent is None:
            try:
                path = await self._way.find(deadline)
                self._agent = await self._stack.enter_async_context(open_agent(path, deadline.within(_ANSWER_SECONDS)))
                self._opened = self._loop.time()
            except (UnresponsiveError, QmpError) as exc:
                if deadline.over:
                    raise await self._way.why(MachineError(f"no agent answers in the guest within {self.seconds:g} s")) from exc
        return self._agent

    async def release(self) -> None:
        """Let others speak."""
        self._agent = None
        await self._stack.aclose()

    def _rest(self) -> None:
        if self._agent:
            self._idle = self._loop.call_later(_IDLE_SECONDS, lambda: self._loop.create_task(self._release_idle()))

    async def _release_idle(self) -> None:
        if self._idle:
            self._idle = None
            await self.release()
