# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guests hear of each other. Four of them boot once, for all that is to be seen."""

from __future__ import annotations

import email
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.guests.test_guests import await_serial
from ansible_collections.maqet.qemu.tests.guests.test_helpers import LEASE
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, reach, reach_all
from ansible_collections.maqet.qemu.tests.harness.fixtures import web
from ansible_collections.maqet.qemu.tests.harness.network import network, pids

__all__ = ["web"]
ADDRESSES = {"one": "10.77.0.11", "two": "10.77.0.12", "three": "10.77.0.13"}
GROUP = "239.77.7.7:7777"


class Guests:
    """``one``, ``two`` and ``three`` on a switch with an uplink, ``quiet`` on another; ``three`` and ``quiet`` on a hub and in a group."""

    def __init__(self, home, boot):
        self.home, self.lan, self.other, self.hub = home, home.network(), home.network("other"), home.network("hub")
        self.names = {word: home.name(word) for word in (*ADDRESSES, "quiet")}
        self.wish = {"subnet": "10.77.0.0/24", "uplink": "nat", "hosts": ADDRESSES}
        network(home, self.lan, **self.wish)
        network(home, self.other, lab="another")
        network(home, self.hub, driver="hub", subnet="10.78.0.0/24", uplink="nat")
        raw = {"memory": "128MiB", "boot": boot, "guest_agent": False}
        wishes = [Wish(name, {**raw, "nics": list(self.nics(word))}, timeout=120) for word, name in self.names.items()]
        assert [outcome.error for outcome in reach_all(home, wishes)] == [None] * 4
        for name in self.names.values():
            await_serial(home, name, "guest ready")
        self.shells = {word: Shell(home.sockets(name) / "serial.sock") for word, name in self.names.items()}
        for word, address in ADDRESSES.items():
            lines = " ".join(f"'{line}'" for line in self.told(word))
            assert self.says(word, f"ifconfig eth0 {address} netmask 255.255.255.0; mkdir -p /etc; printf '%s\\n' {lines} >/etc/hosts")

    def nics(self, word):
        on_switch = {"name": "lan", "network": "switch"}
        if word == "quiet":
            yield {**on_switch, "switch": self.other}
        else:
            yield {**on_switch, "switch": self.lan, "address": f"{ADDRESSES[word]}/24"}
        if word in ("three", "quiet"):
            yield {"name": "hub", "network": "switch", "switch": self.hub}
            if multicasts():
                yield {"name": "group", "network": "mcast", "mcast": GROUP}

    def told(self, word):
        """The lines for /etc/hosts in the guest's seed."""
        (seed,) = self.home.directory(self.names[word]).glob("seed-*.iso")
        data = subprocess.run(["isoinfo", "-R", "-i", str(seed), "-x", "/user-data"], capture_output=True, check=True, text=True).stdout
        texts = [part.get_payload(decode=True).decode() for part in email.message_from_string(data).walk() if not part.is_multipart()]
        return re.findall(r"10\.77\.0\.\d+ \w+", texts[-1])

    def says(self, word, line):
        """Whether it is so, in the words of its shell."""
        return self.shells[word].answer(f"{{ {line}; }} >/dev/null 2>&1; echo =$?=") == 0

    def pings(self, word, other):
        return self.says(word, f"ping -c 2 -w 10 {other}")

    def heard(self, word, card):
        """Frames that ever came in."""
        return self.shells[word].answer(f"echo =$(cat /sys/class/net/{card}/statistics/rx_packets)=")

    def fetches(self, word, gateway, web):
        """A file of the host's server. busybox's own wget is no use: statically linked it crashes (Debian 12)."""
        port = web.url("").rpartition(":")[2].strip("/")
        request = f"printf 'GET /word HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {gateway} {port}"
        return self.says(word, f"test $({request} | tr -dc x | wc -c) = 4321")


class Shell:
    """A guest's shell on its serial port, which says numbers."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))
        self._count = 0

    def answer(self, line):
        """``line`` echoes its number between equals signs."""
        self._count += 1
        self._socket.sendall(f"{line}{self._count}=\n".encode())
        seen = ""
        while not (found := re.search(rf"=(\d+)={self._count}=", seen)):
            seen += self._socket.recv(4096).decode(errors="replace")
        return int(found.group(1))


def multicasts():
    """Whether this host has a way for multicast: its default route."""
    return any(line.split()[1] == "00000000" for line in Path("/proc/net/route").read_text().splitlines()[1:])


@pytest.mark.skipif(not shutil.which("isoinfo"), reason="isoinfo is not installed")
def test_what_they_hear(home, boot, web):
    guests = Guests(home, boot)
    see_names(guests)
    see_the_outside(guests, web)
    see_hub_and_group(guests)
    see_a_killed_switch(guests)
    assert guests.heard("quiet", "eth0") == 0, "another lab's switch is not heard, whatever was said on this one"
    for word in guests.names:
        assert not reach(home, guests.names[word], state="started").changed
    for name in guests.names.values():
        reach(home, name, state="absent", force=True)
    for name in (guests.lan, guests.other, guests.hub):
        network(home, name, state="absent")
        assert not home.net_sockets(name).exists() and not home.net_directory(name).exists() and not look.units(name)


def see_names(guests):
    for word, other in (("one", "two"), ("one", "three"), ("two", "three"), ("three", "one")):
        assert guests.pings(word, other), (word, other)
    assert not guests.pings("one", "10.77.0.99")
    assert guests.heard("two", "eth0") > 0


def see_the_outside(guests, web):
    """A server of the host through the gateway, and an address by the uplink's DHCP."""
    web.files["word"] = b"x" * 4321
    assert guests.fetches("one", "10.77.0.1", web)
    lease = f"printf '%s\\n' '#!/bin/sh' '{LEASE}' >/lease; chmod +x /lease; ifconfig eth1 up; udhcpc -n -q -i eth1 -s /lease"
    assert guests.says("three", lease) and guests.says("quiet", lease)
    assert guests.fetches("quiet", "10.78.0.1", web)
    network(guests.home, guests.lan, **{**guests.wish, "uplink": "none"})
    assert not guests.fetches("one", "10.77.0.1", web) and guests.pings("one", "two")
    network(guests.home, guests.lan, **guests.wish)
    look.wait_until(lambda: guests.fetches("one", "10.77.0.1", web), 30)


def see_hub_and_group(guests):
    assert guests.says("quiet", "ifconfig eth1 | grep 'addr:10.78.0.2[345]' && ifconfig eth1 10.78.0.20 netmask 255.255.255.0")
    assert guests.pings("three", "10.78.0.20")
    if multicasts():
        for word, number in (("three", 13), ("quiet", 20)):
            assert guests.says(word, f"ifconfig eth2 10.79.0.{number} netmask 255.255.255.0 up")
        assert guests.pings("three", "10.79.0.20")


def see_a_killed_switch(guests):
    before = pids(guests.home, guests.lan)["switch"]
    os.kill(before, signal.SIGKILL)
    look.wait_until(lambda: pids(guests.home, guests.lan).get("switch") not in (None, before), 20)
    network(guests.home, guests.lan, **guests.wish)
    assert not guests.pings("one", "two"), "QEMU does not connect again by itself"
    for word in ADDRESSES:
        assert [action["action"] for action in reach(guests.home, guests.names[word], state="started").actions] == ["qmp"]
    assert guests.pings("one", "two") and guests.pings("three", "two")
