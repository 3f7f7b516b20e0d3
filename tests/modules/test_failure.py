# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine names for its failure is started at each, and for nothing else."""

from __future__ import annotations

import os
import signal
import socket

from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, reach, reach_all


def crash(home, name):
    """And systemd starts it again."""
    first = home.pid(name)
    os.kill(first, signal.SIGKILL)
    look.wait_until(lambda: home.qemus(name) not in ([], [first]))


def test_on_failure(home):
    name, told = home.name(), home.desk / "told"
    command = ["/bin/sh", "-c", f'echo "$MAQET_VM $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS" >>{told}']
    home.started(name, supervisor="systemd", on_failure={"command": command})
    line = f"{name} signal killed KILL\n"
    for number in (1, 2):
        crash(home, name)
        look.wait_until(lambda number=number: told.exists() and told.read_text() == line * number)
    unit = home.runtime / f"systemd/user/failed-{home.mark}@.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(f"[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo unit of %i >>{told}'\n")
    try:
        look.systemctl("daemon-reload")
        pid = home.pid(name)
        outcome = reach(home, name, raw={"memory": "64MiB", "on_failure": {"unit": unit.name}}, supervisor="systemd")
        assert outcome.changed and not outcome.pending_restart and home.pid(name) == pid
        crash(home, name)
        look.wait_until(lambda: told.read_text() == line * 2 + f"unit of {name}\n")
    finally:
        unit.unlink()
        look.systemctl("daemon-reload")
    reach(home, name, state="stopped", force=True)
    reach(home, name, state="started")
    reach(home, name, raw={"memory": "64MiB"}, state="stopped", force=True)
    assert told.read_text() == line * 2 + f"unit of {name}\n"
    assert not look.units(name)


def test_machines_of_one_task_that_want_the_same_port(home):
    """The plan knows that one of them has it, nothing is left of the others, and whoever had it before keeps it."""
    names = [home.name(word) for word in "abc"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    raw = {"memory": "64MiB", "nics": [{"name": "lan", "forwards": [{"guest": 22, "host": str(port)}]}]}

    def errors(check, **more):
        wishes = [Wish(name, {**raw, **more}, state="present", supervisor="process") for name in names]
        return [outcome.error and outcome.error.message for outcome in reach_all(home, wishes, check=check)]

    had = []
    for number in range(2):
        for check in (True, False):
            said = errors(check, labels={"number": str(number)})
            assert said.count(None) == 1, said
            first = names[said.index(None)]
            assert [words for words in said if words and f"machine {first} has it" not in words] == []
        assert [name for name in names if home.directory(name).exists()] == [first] and first in (had or names)
        had, names = [first], sorted(names, key=first.__eq__)  # it comes last
