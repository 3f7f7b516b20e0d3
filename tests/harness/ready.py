# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a machine in this process; and an agent that says what no agent of a small guest does."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from contextlib import suppress

from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._host.conditions import await_ready
from ansible_collections.maqet.qemu.plugins.module_utils._host.deadline import Deadline

from .engine import host_of


def record_of(home, name):
    host = host_of(home)
    try:
        return host.store.load([name])[name]
    finally:
        host.store.close()


def wait(home, name, *conditions, seconds=5.0, meanwhile=lambda: None):
    """Seconds that it took."""
    host = host_of(home)

    async def both():
        waiting = asyncio.ensure_future(await_ready(host, host.store.load([name])[name], conditions, Deadline(seconds)))
        await asyncio.sleep(0.3 if meanwhile.__name__ != "<lambda>" else 0)
        try:
            await asyncio.to_thread(meanwhile)
            await waiting
        finally:
            await host.close()

    begun = time.monotonic()
    try:
        asyncio.run(both())
    finally:
        host.store.close()
    return time.monotonic() - begun


def why_not(home, name, *conditions, **how):
    """The error of waiting in vain, and how long it took."""
    begun = time.monotonic()
    try:
        wait(home, name, *conditions, **how)
    except MaqetError as exc:
        return exc, time.monotonic() - begun
    raise AssertionError("it became ready")


class FakeAgent:
    """A server in the place of a machine's agent socket. :param answers: what guest-exec's commands print: code, output; or an error."""

    def __init__(self, path, answers):
        path.unlink()
        self.answers, self.asked, self.clients = list(answers), [], 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _address = self._socket.accept()
            except OSError:
                return
            self.clients += 1
            with client, suppress(ConnectionError):
                self._talk(client)

    def _talk(self, client):
        said = b""
        while more := client.recv(4096):
            said += more  # a question ends without a new line
            with suppress(ValueError):
                question = json.loads(said)
                said = b""
                answer = {**self._answer(question["execute"], question.get("arguments", {})), "id": question.get("id")}
                client.sendall(json.dumps(answer).encode() + b"\n")

    def _answer(self, execute, arguments):
        if execute == "guest-sync":
            return {"return": arguments["id"]}
        if execute == "guest-exec":
            self.asked.append([arguments["path"], *arguments["arg"]])
            self._current = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return {"error": self._current} if isinstance(self._current, dict) else {"return": {"pid": 1}}
        if execute != "guest-exec-status":
            return {"error": {"class": "CommandNotFound", "desc": f"Command {execute} has been disabled"}}
        code, text = self._current
        return {"return": {"exited": True, "exitcode": code, "out-data": base64.b64encode(text.encode()).decode()}}

    def close(self):
        self._socket.close()
