# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets guests go on that were held still, should the task that holds them be killed.

It runs beside that task, which writes one line to its standard input, ``[{qmp, agent}, …]``, and ``done`` when all is well. An
end without that is the task's death. It has inherited the machines' locks: nobody else touches them before it has ended.
"""

from __future__ import annotations

import json
import socket
import sys
import time

_AGENT_SECONDS = 10.0


def say(path: str, seconds: float, *commands: str) -> bool:
    """Say the commands and hear an answer to each; whether all were answered."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(seconds)
        try:
            channel.connect(path)
            lines = channel.makefile("rwb")
            for command in commands:
                lines.write(json.dumps({"execute": command, "id": command}).encode() + b"\n")
                lines.flush()
                answer: dict[str, object] = {}
                while answer.get("id") != command:
                    answer = json.loads(lines.readline())  # at the stream's end there is nothing to load
        except (OSError, ValueError):
            return False
    return True


def let_go(machine: dict[str, str], seconds: float) -> None:
    # The monitor that the dead task had open is free a moment later; QEMU that saves memory answers when it has done so.
    end = time.monotonic() + seconds
    while not say(machine["qmp"], seconds, "qmp_capabilities", "cont") and time.monotonic() < end:
        time.sleep(0.1)
    end = time.monotonic() + _AGENT_SECONDS
    # What the dead task left half said spoils the first try.
    while machine["agent"] and not say(machine["agent"], _AGENT_SECONDS, "guest-fsfreeze-thaw") and time.monotonic() < end:
        time.sleep(0.1)


def main() -> None:
    machines = json.loads(sys.stdin.readline() or "[]")
    if not sys.stdin.readline():
        for machine in machines:
            let_go(machine, float(sys.argv[1]))


if __name__ == "__main__":
    main()
