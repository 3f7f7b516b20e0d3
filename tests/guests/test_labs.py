# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab of booted guests: each boots when those that it depends on are ready."""

from __future__ import annotations

import time

from ansible_collections.maqet.qemu.tests.harness.lab import kinds, lab


def test_ten_guests_in_the_order_of_what_depends_on_what(home, boot):
    name = home.name("lab")
    vms = {
        "store": {"ready": [{"serial": "^guest ready$"}]},
        "app": {"count": 3, "depends_on": "store", "ready": [{"agent": True}]},
        "web": {"count": 6, "depends_on": "app", "ready": [{"port": 80}], "nics": [{"name": "lan", "forwards": [{"guest": 80}]}]},
    }
    definition = {"lab": name, "defaults": {"memory": "256MiB", "boot": boot, "ready_timeout": 120}, "vms": vms}
    process, began, ready = home.begin(lab(definition), lab(definition), lab(definition, state="absent", force=True)), {}, {}
    while process.poll() is None and len(ready) < 10:
        now = time.monotonic()
        for log in home.data.glob("maqet/vms/*/serial.log"):
            machine, text = log.parent.name.removeprefix(f"{name}-"), log.read_bytes()
            if text:
                began.setdefault(machine, now)
            if b"guest ready" in text:
                ready.setdefault(machine, now)
        time.sleep(0.02)
    done, again, gone = home.end(process)
    assert done["summary"] == "10 created" and again["summary"] == "10 unchanged" and gone["summary"] == "10 removed", (done, again)
    assert set(kinds(done)) == {f"{name}-{machine}" for machine in ready}
    levels = [[machine for machine in ready if machine.startswith(key)] for key in vms]
    for before, after in zip(levels, levels[1:]):
        assert max(ready[machine] for machine in before) <= min(began[machine] for machine in after), (began, ready)
    seconds = [vm["ready"] for vm in done["vms"].values()]
    assert all(0 < value < 120 for value in seconds) and [vm["ready"] for vm in again["vms"].values()] == seconds
