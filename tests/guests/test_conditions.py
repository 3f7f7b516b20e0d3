# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions that a booted guest meets, from before its boot on."""

from __future__ import annotations

from ansible_collections.maqet.qemu.tests.harness.home import qmp
from ansible_collections.maqet.qemu.tests.harness.ready import wait, why_not
from ansible_collections.maqet.qemu.tests.modules.test_recorder import info

SECONDS = 90


def test_conditions_of_a_guest(home, boot):
    name = home.name()
    home.started(name, memory="256MiB", boot=boot, nics=[{"name": "lan", "forwards": [{"guest": 80}, {"guest": 81}]}])
    console = {"serial": "^guest ready$"}
    every = [console, {"agent": True}, {"port": 80}, {"address": True}, {"command": ["/bin/busybox", "true"]}, {"status": "running"}]
    every.append({"port": {"guest": 80, "from": "guest"}})
    error, _seconds = why_not(home, name, *every, seconds=0.8)
    assert "port 80: the guest does not answer" in error.message and "serial ^guest ready$" in error.message and "status" not in error.message
    assert wait(home, name, *every, seconds=SECONDS) < SECONDS
    # All hold still, so each is seen at the first look.
    for condition in every:
        assert wait(home, name, condition) < 2, condition
    error, seconds = why_not(home, name, {"cloud_init": "done"}, seconds=20)
    assert "there is no cloud-init in the guest" in error.message and seconds < 5
    error, _seconds = why_not(home, name, {"port": 81}, {"command": ["/bin/busybox", "false"]}, seconds=2)
    assert "port 81: nothing listens in the guest" in error.message and "exit code 1" in error.message and "guest ready" in error.data["serial"]
    assert wait(home, name, {"agent": True}) < 2  # a look that was called off lets go of its socket
    error, _seconds = why_not(home, name, {"command": ["/bin/nothing"]}, seconds=5)
    assert "No such file" in error.message

    metrics = info(home, name, metrics=True)["metrics"]
    assert metrics["load"][0] >= 0 and metrics["memory"]["guest_available"] < metrics["memory"]["guest_total"] <= 256 << 20
    assert metrics["nics"]["lan"]["receive_bytes"] > 0

    def power_down():
        home.play(qmp(name, "system_powerdown"))

    error, seconds = why_not(home, name, {"serial": "never"}, seconds=SECONDS, meanwhile=power_down)
    assert "its guest ended it (guest-shutdown)" in error.message and seconds < 30
