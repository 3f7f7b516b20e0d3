# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QMP by hand: JSON lines on a socket."""

from __future__ import annotations

import json
import socket


class Wire:
    """A session on a monitor; ``events`` are those that came between the answers."""

    def __init__(self, path, timeout=5, greet=True):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw", encoding="utf-8")
        self.events = []
        if greet:
            self.greeting = self._read()
            self.ask("qmp_capabilities")

    def ask(self, execute, **arguments):
        self._lines.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            message = self._read()
            if "event" not in message:
                return message.get("return", message.get("error"))
            self.events.append(message)

    def _read(self):
        return json.loads(self._lines.readline())

    def close(self):
        self._lines.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()


def ask(monitor, execute, **arguments):
    """One command in a session of its own."""
    with Wire(monitor) as wire:
        return wire.ask(execute, **arguments)
