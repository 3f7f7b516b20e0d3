# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks made in this process, and what runs for them; frames put onto them by hand."""

from __future__ import annotations

import asyncio
import os
import socket

from ansible_collections.maqet.qemu.plugins.module_utils._host.networks import reach_network
from ansible_collections.maqet.qemu.plugins.module_utils._outcome import Outcome
from ansible_collections.maqet.qemu.plugins.module_utils._plan.network import NetworkWish

from . import look, wire
from .engine import host_of


def network(home, name, witness=lambda moment: None, check=False, **wish):
    """What became of the network."""
    (outcome,) = networks(home, [NetworkWish(name, **wish)], witness, check)
    return outcome


def networks(home, wishes, witness=lambda moment: None, check=False):
    host = host_of(home)
    outcomes = [Outcome(wish.name) for wish in wishes]

    async def work():
        try:
            await asyncio.gather(*(reach_network(host, wish, outcome, check=check, witness=witness) for wish, outcome in zip(wishes, outcomes)))
        finally:
            await host.close()

    try:
        asyncio.run(work())
    finally:
        host.store.close()
    return outcomes


def pids(home, name):
    """Of the network's programs: an argument of each names the network's sockets."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        argv = look.command_line(entry)
        if argv and argv[0] != "/bin/sh" and any(f"{home.net_sockets(name)}/" in word for word in argv):
            program = os.path.basename(argv[0])
            # A machine's QEMU names the switch too.
            if program == "vde_switch" or argv[1:3] == ["-machine", "none"]:
                hub = any("/switch.qmp" in word for word in argv)
                found["switch" if program == "vde_switch" or hub else "uplink"] = int(entry)
    return found


class Tap:
    """A hand on the cable of a machine's card: what is put there goes to the others as if its guest had sent it."""

    def __init__(self, home, name, nic, number):
        self._end, its = (str(home.runtime / f"{home.mark}-{number}-{side}") for side in "ab")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self._end)
        self.socket.settimeout(0.3)
        with wire.Wire(home.sockets(name) / "monitor.sock") as monitor:
            table = monitor.ask("human-monitor-command", **{"command-line": "info network"})
            hub = self._hub_of(table, nic)
            places = {side: {"type": "unix", "path": path} for side, path in (("local", its), ("remote", self._end))}
            assert monitor.ask("netdev_add", type="dgram", id=f"tap-{number}", **places) == {}
            assert monitor.ask("netdev_add", type="hubport", id=f"tapped-{number}", hubid=hub, netdev=f"tap-{number}") == {}
        self._its = its

    @staticmethod
    def _hub_of(table, nic):
        """``hub 7`` and below it its ports, one a line."""
        hub = 0
        for line in table.splitlines():
            words = line.split()
            if words[:1] == ["hub"]:
                hub = int(words[1])
            elif f"port-{nic}:" in words:
                return hub
        raise AssertionError(table)

    def send(self, text):
        """A broadcast frame of an EtherType that nobody uses."""
        self.socket.sendto(b"\xff" * 6 + b"\x52\x54\x00\x01\x02\x03" + b"\x88\xb5" + text.encode().ljust(50, b"."), self._its)

    def hears(self, text):
        try:
            while True:
                if text.encode() in self.socket.recv(2048):
                    return True
        except socket.timeout:
            return False

    def close(self):
        self.socket.close()
        for path in (self._end, self._its):
            if os.path.exists(path):
                os.unlink(path)
