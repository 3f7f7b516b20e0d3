# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may look at the screen: passwords that nobody sees, and that viewers are really asked for."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.harness import wire
from ansible_collections.maqet.qemu.tests.harness.home import task, vm

SMALL = {"memory": "64MiB"}
FIRST, SECOND = "hunter-1", "hunter-2"


def opens(path, password):
    """Whether VNC lets a viewer with the password in (RFC 6143, 7.2.2: the challenge by DES, the key's bits reversed)."""
    with socket.socket(socket.AF_UNIX) as viewer:
        viewer.settimeout(10)
        viewer.connect(str(path))
        stream = viewer.makefile("rwb", buffering=0)
        assert stream.read(12).startswith(b"RFB 003.008")
        stream.write(b"RFB 003.008\n")
        assert stream.read(2) == b"\x01\x02", "VNC's own authentication, and no other"
        stream.write(b"\x02")
        key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
        des = ["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider", "default"]
        stream.write(subprocess.run(des, input=stream.read(16), capture_output=True, check=True).stdout)
        return stream.read(4) == b"\0\0\0\0"


def everything_said(home, name, *results):
    """All that others may see: results, arguments, QEMU's log and events."""
    files = [home.directory(name) / word for word in ("qemu.log", "events.jsonl")]
    arguments = Path(f"/proc/{home.pid(name)}/cmdline").read_text(encoding="utf-8")
    return json.dumps(results) + arguments + "".join(file.read_text(encoding="utf-8") for file in files)


def test_a_password_for_vnc(home, supervisor):
    name = home.name()
    screen = home.sockets(name) / "vnc.sock"
    started = home.play(vm(name, supervisor=supervisor, display={"type": "vnc", "password": FIRST}, **SMALL))
    assert not started["failed"], started
    assert opens(screen, FIRST) and not opens(screen, SECOND)
    wish = {**SMALL, "display": {"type": "vnc", "password": SECOND}}
    planned, changed, again, info = home.play(vm(name, check=True, **wish), vm(name, **wish), vm(name, **wish), task("maqet_vm_info", name=name))
    assert planned["changed"] and changed["changed"] and not again["changed"]
    assert changed["vm"]["pid"] == started["vm"]["pid"] and changed["pending_restart"] == []
    assert opens(screen, SECOND) and not opens(screen, FIRST)
    said = everything_said(home, name, started, planned, changed, again, info)
    assert FIRST not in said and SECOND not in said
    assert (home.directory(name) / "display.password").stat().st_mode & 0o777 == 0o600
    restarted = home.play(vm(name, state="restarted", force=True))
    assert restarted["changed"] and opens(screen, SECOND) and SECOND not in json.dumps(restarted)
    without = home.play(vm(name, display={"type": "vnc"}, **SMALL))
    assert without["pending_restart"] == ["display.password"] and opens(screen, SECOND)
    assert home.play(vm(name, state="absent", force=True))["changed"] and not home.traces(name)


def test_a_password_for_spice(home):
    name = home.name()
    first, second = "a long one of many characters", "another one of many characters"
    started = home.play(vm(name, display={"type": "spice", "password": first}, **SMALL))
    if started["failed"] and "qemu-system-modules-spice" in started["hint"]:
        pytest.skip(started["msg"])
    assert wire.ask(home.sockets(name) / "monitor.sock", "query-spice")["auth"] == "spice"
    changed = home.play(vm(name, display={"type": "spice", "password": second}, **SMALL))
    assert changed["changed"] and changed["pending_restart"] == [] and changed["vm"]["pid"] == started["vm"]["pid"]
    said = everything_said(home, name, started, changed)
    assert first not in said and second not in said
    assert changed["vm"]["sockets"]["spice"] == str(home.sockets(name) / "spice.sock")


def test_pointer_and_keyboard_come_and_go(home):
    name = home.name()
    monitor = home.sockets(name) / "monitor.sock"

    def there():
        items = wire.ask(monitor, "qom-list", path="/machine/peripheral")
        return {item["name"] for item in items} & {"tablet", "keyboard"}

    pid = home.play(vm(name, **SMALL))["vm"]["pid"]
    assert there() == set()
    for wish, wanted in (
        ({"tablet": True}, {"tablet"}),
        ({"tablet": True, "keyboard": True}, {"tablet", "keyboard"}),
        ({"keyboard": True}, {"keyboard"}),
        ({}, set()),
    ):
        changed, again = home.play(vm(name, input=wish, **SMALL), vm(name, input=wish, **SMALL))
        assert changed["changed"] and changed["pending_restart"] == [] and not again["changed"], changed
        assert there() == wanted and changed["vm"]["pid"] == pid
    home.play(vm(name, input={"keyboard": True}, **SMALL))
    wire.ask(monitor, "device_del", id="keyboard")
    planned, repaired = home.play(vm(name, check=True), vm(name))
    assert planned["changed"] and repaired["changed"] and there() == {"keyboard"}
