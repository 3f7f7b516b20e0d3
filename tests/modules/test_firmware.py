# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""UEFI: its variables are the machine's own, outlive its stops, and go with it."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import vm

SECONDS = 90
SMALL = {"memory": "256MiB", "accel": "tcg", "arch": "x86_64"}
SECURE = {**SMALL, "secure_boot": True}
QUICK = {"shutdown_timeout": 1}
TEMPLATE = re.compile(r"the UEFI variables from (\S+)$")


def await_serial(home, name, words):
    file = home.directory(name) / "serial.log"
    look.wait_until(lambda: words in file.read_text(errors="replace"), SECONDS)


def actions(result):
    assert not result["failed"], result
    return [action["action"] for action in result["actions"]]


def test_variables_of_a_machine_with_secure_boot(home, supervisor):
    name = home.name()
    planned, done, again = home.play(vm(name, check=True, supervisor=supervisor, **SECURE), vm(name, supervisor=supervisor, **SECURE), vm(name, **SECURE))
    assert actions(planned) == actions(done) == ["define", "make_nvram", "start"]
    assert not again["changed"]
    file = home.directory(name) / "nvram-secure.fd"
    assert file.stat().st_mode & 0o777 == 0o600
    template = Path(TEMPLATE.search(done["actions"][1]["summary"]).group(1))
    # What is not signed is not started: the firmware's own shell is not, where there is one (Debian 13's image has none).
    await_serial(home, name, "No bootable option")
    assert "UEFI Interactive Shell" not in (home.directory(name) / "serial.log").read_text(errors="replace")
    (stopped,) = [home.play(vm(name, state="stopped", **QUICK))]
    assert actions(stopped) == ["stop"]
    first = (file.stat().st_ino, file.read_bytes())
    assert first[1] != template.read_bytes(), "the firmware writes what it can boot"
    started = home.play(vm(name, state="paused"))
    assert actions(started) == ["start"]
    assert (file.stat().st_ino, file.read_bytes()) == first
    assert home.play(vm(name, state="absent", force=True))["changed"]
    assert not home.traces(name) and template.exists()


def test_switching_loses_neither(home):
    name = home.name()
    plain = {**SMALL, "firmware": "uefi"}
    first, waits, switched = home.play(vm(name, **plain), vm(name, **SECURE), vm(name, state="restarted", force=True))
    assert actions(first) == ["define", "make_nvram", "start"]
    assert waits["pending_restart"] == ["secure_boot"] and "make_nvram" not in actions(waits)
    assert actions(switched) == ["stop", "make_nvram", "start"] and switched["pending_restart"] == []
    await_serial(home, name, "No bootable option")
    kept = home.directory(name) / "nvram.fd"
    before = (kept.stat().st_ino, kept.read_bytes())
    none = home.play(vm(name, **SMALL, on_restart_needed="restart", force=True), vm(name, **plain, on_restart_needed="restart", force=True))
    assert [actions(result)[1:] for result in none] == [["stop", "start"], ["stop", "start"]]
    await_serial(home, name, "UEFI Interactive Shell")
    assert kept.stat().st_ino == before[0]


def test_suspended_in_its_firmware(home, supervisor):
    """The guest goes on where it was, with its variables."""
    name = home.name()
    wish = {**SMALL, "firmware": "uefi"}
    home.play(vm(name, supervisor=supervisor, **wish))
    await_serial(home, name, "\x1b[2J")  # the firmware's first sign
    suspended, resumed, again = home.play(vm(name, state="suspended"), vm(name), vm(name, **wish))
    assert suspended["vm"]["status"] == "suspended" and resumed["vm"]["status"] == "running" and not again["changed"]
    await_serial(home, name, "UEFI Interactive Shell")


def test_variables_that_were_deleted_are_made_anew(home):
    name = home.name()
    wish = {**SMALL, "firmware": "uefi"}
    home.play(vm(name, **wish, state="stopped"))
    file = home.directory(name) / "nvram.fd"
    file.unlink()
    planned, done = home.play(vm(name, check=True), vm(name))
    assert actions(planned) == actions(done) == ["make_nvram", "start"]
    assert file.exists()


def test_the_users_own_descriptors_count(home):
    """An empty file of the same name hides the distribution's; without any the message says what to install."""
    config = home.root / "config/qemu/firmware"
    config.mkdir(parents=True)
    for descriptor in Path("/usr/share/qemu/firmware").glob("*.json"):
        (config / descriptor.name).touch()
    refused = home.play(vm(home.name(), **SECURE), XDG_CONFIG_HOME=str(home.root / "config"))
    assert refused["failed"] and "UEFI firmware with Secure Boot" in refused["msg"] and str(config) in refused["msg"]
    assert "ovmf" in refused["hint"]
