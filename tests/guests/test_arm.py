# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An aarch64 guest on any host: nothing that machines are given is made for x86 alone."""

from __future__ import annotations

import re

import pytest
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.arm import find_arm_guest
from ansible_collections.maqet.qemu.tests.harness.home import vm

SECONDS = 150
EVERYTHING = {
    "arch": "aarch64",
    "accel": "tcg",
    "memory": "512MiB",
    "disks": [{"name": "root", "size": "64MiB"}],
    "display": {"type": "vnc"},
    "watchdog": {"model": "i6300esb", "action": "poweroff"},
    "smbios": {"serial": "X-0042"},
}


def await_serial(home, name, pattern):
    file = home.directory(name) / "serial.log"
    return look.wait_until(lambda: re.search(pattern, file.read_text(errors="replace")), SECONDS)


def test_uefi_without_a_kernel(home):
    """The firmware's shell, with all that a machine may have; suspended and resumed on the way."""
    name = home.name("arm")
    started, again = home.play(vm(name, **EVERYTHING), vm(name, **EVERYTHING))
    assert not started["failed"] and not again["changed"], started
    await_serial(home, name, "UEFI firmware")
    suspended, resumed = home.play(vm(name, state="suspended"), vm(name))
    assert suspended["vm"]["status"] == "suspended" and resumed["vm"]["status"] == "running"
    await_serial(home, name, "UEFI Interactive Shell")
    assert home.play(vm(name, state="absent", force=True))["changed"] and not home.traces(name)


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_kernel_to_userland(home, firmware):
    name = home.name("arm")
    # Without a kernel the firmware would try the network for minutes.
    nics = [{"name": "lan", "forwards": [{"guest": 22}]}]
    wish = {**EVERYTHING, "nics": nics, "firmware": firmware, "cpus": 2, "boot": find_arm_guest()}
    started = home.play(vm(name, **wish))
    assert not started["failed"], started
    assert await_serial(home, name, r"guest ready on (\w+) with (\d) CPUs").groups() == ("aarch64", "2")
    if firmware == "uefi":
        await_serial(home, name, "guest came by UEFI")
