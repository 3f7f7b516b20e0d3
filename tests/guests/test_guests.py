# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Booted guests, under both supervisors."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request

import pytest
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import qmp, task, vm

SECONDS = 90


def serial(home, name):
    return (home.directory(name) / "serial.log").read_text(errors="replace")


def await_serial(home, name, pattern):
    return look.wait_until(lambda: re.search(pattern, serial(home, name)), SECONDS)


@pytest.fixture
def guest(home, boot, supervisor):
    """The name of a booted guest with a disk and a forward."""
    name = home.name("guest")
    home.started(
        name,
        supervisor=supervisor,
        memory="256MiB",
        boot={**boot, "cmdline": f"{boot['cmdline']} ticks"},
        disks=[{"name": "root", "size": "64MiB", "serial": "MY-DISK-1"}],
        nics=[{"name": "lan", "forwards": [{"guest": 80}]}],
    )
    await_serial(home, name, "guest ready")
    return name


def guest_shutdowns(home, name):
    return [line["data"] for line in look.recorded(home.directory(name)) if line.get("event") == "SHUTDOWN"]


def test_everything_a_guest_has(home, guest):
    """Its disk with the serial, its console, its agent, its network; then it powers down itself when asked."""
    assert "disk MY-DISK-1 of 131072 sectors" in serial(home, guest)
    assert agent(home, guest, "guest-ping") == {} and "qemu-ga" not in look.systemctl("list-units")
    assert "version" in agent(home, guest, "guest-info")
    assert console(home, guest, "echo $((6*7))-yes") == "42-yes"
    port = home.play(vm(guest))["vm"]["forwards"][0]["host"]
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read().startswith(b"hello from ")
    stopped = home.play(vm(guest, state="stopped"))
    assert stopped["vm"]["status"] == "stopped" and stopped["actions"][0]["outcome"] == "the guest powered down"
    (shutdown,) = guest_shutdowns(home, guest)
    assert shutdown["guest"] is True and shutdown["reason"] == "guest-shutdown"
    assert not home.qemus(guest) and "power button" in serial(home, guest)


def agent(home, name, execute):
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(20)
        channel.connect(str(home.sockets(name) / "agent.sock"))
        channel.sendall(json.dumps({"execute": execute}).encode() + b"\n")
        return json.loads(channel.makefile().readline())["return"]


def console(home, name, line):
    """What the guest's shell answers."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(20)
        channel.connect(str(home.sockets(name) / "serial.sock"))
        channel.sendall(b"\n" + line.encode() + b"\n")
        pattern = r"\n(\d+-\w+)\r"
        seen = ""
        while not re.search(pattern, seen):
            seen += channel.recv(4096).decode(errors="replace")
    return re.search(pattern, seen).group(1)


def ticks(home, name):
    return [int(number) for number in re.findall(r"tick (\d+)\r?\n", serial(home, name))]


def test_suspended_guest_goes_on_where_it_was(home, guest):
    look.wait_until(lambda: len(ticks(home, guest)) > 2, SECONDS)
    suspended = home.play(vm(guest, state="suspended"))
    assert suspended["vm"]["status"] == "suspended" and not home.qemus(guest)
    last = ticks(home, guest)[-1]
    time.sleep(2)
    resumed = home.play(vm(guest))
    assert resumed["vm"]["status"] == "running"
    look.wait_until(lambda: len(ticks(home, guest)) > last + 2, SECONDS)
    seen = ticks(home, guest)
    assert seen == list(range(1, len(seen) + 1)), "a tick is missing or came twice"
    assert serial(home, guest).count("guest ready") == 1
    assert agent(home, guest, "guest-ping") == {}


def test_paused_guest_stands_still(home, guest):
    paused = home.play(vm(guest, state="paused"))
    assert paused["vm"]["status"] == "paused"
    count = len(ticks(home, guest))
    time.sleep(2)
    assert len(ticks(home, guest)) == count
    home.play(vm(guest))
    look.wait_until(lambda: len(ticks(home, guest)) > count, SECONDS)


def test_asked_by_others_it_powers_down_too(home, boot):
    """``systemctl stop``, as when the host shuts down, is no power cut."""
    name = home.name("unit")
    home.started(name, memory="256MiB", boot=boot)
    await_serial(home, name, "guest ready")
    look.systemctl("daemon-reload")
    look.systemctl("stop", f"maqet-vm-{name}.service")
    (shutdown,) = guest_shutdowns(home, name)
    assert shutdown["reason"] == "guest-shutdown" and "power button" in serial(home, name)
    assert not home.qemus(name)
    info, started = home.play(task("maqet_vm_info"), vm(name))
    assert info["vms"][0]["status"] == "stopped" and started["changed"]


def test_a_guest_that_powers_itself_off_stays_off(home, boot):
    """``on-failure`` is about QEMU's failures; this is none."""
    name = home.name("off")
    home.started(name, memory="256MiB", boot=boot)
    await_serial(home, name, "guest ready")
    home.play(qmp(name, "system_powerdown", wait_for={"event": "SHUTDOWN", "match": {"guest": True}}))
    look.wait_until(lambda: not home.qemus(name))
    time.sleep(1.5)
    assert not home.qemus(name)
    (info,) = home.play(task("maqet_vm_info"))["vms"]
    assert info["status"] == "stopped"
    assert info["drift"] == [{"path": "state", "applied": "running", "observed": "stopped", "by": "guest"}]
