# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source and the rulebooks of the collection, by a real ansible-rulebook."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from pathlib import Path

import yaml
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.events import flip
from ansible_collections.maqet.qemu.tests.harness.home import qmp
from ansible_collections.maqet.qemu.tests.harness.rulebook import Rulebook

RULEBOOKS = Path(__file__).parents[2] / "extensions/eda/rulebooks"
SECONDS = 90


@contextmanager
def running(*args):
    rulebook = Rulebook(*args)
    try:
        yield rulebook.await_rules()
    finally:
        rulebook.kill()


def told(rulebook):
    return [(name, int(seconds), int(rest)) for name, seconds, rest in re.findall(r"TOLD (\w+) (\d+) (\d+)", rulebook.said)]


def test_a_burst(home):
    """1,000 events, and 1,000 more in the middle of which all is killed."""
    name = home.name()
    home.started(name, supervisor="process")
    message = "TOLD {{ event.event }} {{ event.timestamp.seconds }} {{ event.timestamp.microseconds }}"
    rule = {"name": "any", "condition": f"event.vm == '{name}'", "action": {"debug": {"msg": message}}}
    rulesets = [{"name": "all", "hosts": "localhost", "sources": [{"maqet.qemu.events": {"events": ["STOP", "RESUME"]}}], "rules": [rule]}]
    with running(home, rulesets) as rulebook:
        look.wait_until((home.state / "maqet/eda/default.json").exists)
        seen = flip(home, name, 500)
        look.wait_until(lambda: len(told(rulebook)) >= 1000, 30)
        assert told(rulebook) == seen
        seen = flip(home, name, 500)
        look.wait_until(lambda: len(told(rulebook)) >= 1300, 30)
    before = told(rulebook)[1000:]
    with running(home, rulesets, "again") as rulebook:
        look.wait_until(lambda: told(rulebook)[-1:] == seen[-1:], 30)
        again = told(rulebook)
    assert before == seen[: len(before)] and again == seen[-len(again) :] and len(before) < 1000 <= len(before) + len(again)
    print(f"told before: {len(before)}, again: {len(before) + len(again) - 1000}")


def test_what_the_collection_brings(home, boot):
    """A guest panics and is started anew; it is asked to power down, and its disk is kept; all of it is written down."""
    name = home.name("guest")
    home.started(name, memory="256MiB", boot=boot, disks=[{"name": "root", "size": "16MiB"}], devices=[{"driver": "pvpanic-pci", "id": "panic"}])
    rulesets = [ruleset for file in sorted(RULEBOOKS.glob("*.yml")) for ruleset in yaml.safe_load(file.read_text())]
    with running(home, rulesets):
        await_guest(home, name, 1)
        panic(home, name)
        await_guest(home, name, 2)
        home.play(qmp(name, "system_powerdown"))
        report = home.desk / "maqet-report.txt"
        look.wait_until(lambda: report.exists() and "guest-shutdown" in report.read_text(), SECONDS)
        (label,) = look.wait_until(lambda: snapshots(home, name), SECONDS)
    assert label.startswith("shutdown-")
    lines = [line.split(" ", 3)[1:] for line in report.read_text().splitlines()]
    assert [line[:2] for line in lines] == [[name, "GUEST_PANICKED"], [name, "SHUTDOWN"], [name, "SHUTDOWN"]]
    assert ["guest-panic" in lines[1][-1], "guest-shutdown" in lines[2][-1]] == [True, True]


def await_guest(home, name, boots):
    log = home.directory(name) / "serial.log"
    look.wait_until(lambda: log.exists() and log.read_text(errors="replace").count("guest ready") == boots, SECONDS)


def panic(home, name):
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(SECONDS)
        channel.connect(str(home.sockets(name) / "serial.sock"))
        channel.sendall(b"\necho c >/proc/sysrq-trigger\n")
        seen = b""
        while b"Trigger a crash" not in seen:  # a kernel that panics waits for who is connected and does not read
            seen += channel.recv(4096)
    look.wait_until(lambda: "GUEST_PANICKED" in look.event_names(home.directory(name)), SECONDS)


def snapshots(home, name):
    return [item["name"] for item in look.disk(home.directory(name) / "root.qcow2").get("snapshots", [])]
